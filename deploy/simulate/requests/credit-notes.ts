import { divide, type Invoice, type InvoiceLine, isClosed, isFarAhead, post, postingDay, sumOf } from './books.ts';
import { dueOn, isPayable, leastDue, statusOf, takingDay } from './invoices.ts';
import { created, refused, workingOn } from './operation-model.ts';
import { partOf } from './payments.ts';
import type { Random } from './random.ts';

type AskedPart = { readonly lineNumber: number; readonly net: number };

const createCreditNote = workingOn(({ invoices }) => invoices, {
  weight: 4,
  fits: isPayable,
  madeBy: 'finalizeInvoice',
  notFound: [404, 'invoice_not_found'],
  body(invoice, _, books, random) {
    const lines = invoice?.lines ?? [];
    const negative = lines.findIndex(({ net }) => net < 0n);
    if (negative !== -1 && random.unusual(0.08)) {
      const date = postingDay(books, random, invoice?.issueDate);
      return { lines: [{ lineNumber: negative + 1, net: 1 }], reason: 'Agreed discount', date };
    }
    const parts = random.unusual(0.04) ? [] : drawParts(lines, random);
    const none = { lineNumber: 99, net: 1 };
    return {
      lines: parts.length > 0 ? parts : [none],
      reason: 'Agreed discount',
      date: takingDay(invoice, books, random),
    };
  },
  answer(invoice, { body }, books, write) {
    if (['draft', 'discarded', 'void'].includes(statusOf(invoice))) return refused(409, 'invoice_not_creditable');
    const asked: readonly AskedPart[] = body.lines;
    for (const [index, { lineNumber, net }] of asked.entries()) {
      const line = invoice.lines[lineNumber - 1];
      if (line === undefined) return refused(422, 'invoice_line_not_found');
      if (line.net < 0n) return refused(422, 'invoice_line_not_creditable');
      if (BigInt(net) > leftOf(line, invoice.lines, asked.slice(0, index))) return refused(422, 'credit_exceeds_line');
    }
    const parts = creditedParts(invoice.lines, asked);
    const total = sumOf(parts, ({ net, tax }) => net + tax);
    if (total > dueOn(invoice)) return refused(422, 'credit_exceeds_due');
    if (body.date < invoice.issueDate) return refused(422, 'date_before_original');
    if (total > leastDue(invoice, body.date)) return refused(422, 'as_of_conflict');
    if (isClosed(books, body.date)) return refused(409, 'period_closed');
    if (isFarAhead(body.date)) return refused(422, 'date_too_late');
    return created(() => {
      for (const { line, net, tax } of parts) {
        line.creditedNet += net;
        line.creditedTax += tax;
      }
      invoice.credited += total;
      invoice.moved.push({ date: body.date, amount: -total });
      const income = parts.map(({ line, net }) => [line.account, net] as const);
      const tax = sumOf(parts, (part) => part.tax);
      const lines = [...income, ['2100', tax] as const, ['1100', -total] as const];
      post(books, { date: body.date, currency: invoice.currency, lines }, write);
    });
  },
});

export const CREDIT_NOTES = { createCreditNote };

/** Parts of one to three lines of which something is left; now and then more than lines with negative amounts leave. */
function drawParts(lines: Invoice['lines'], random: Random): AskedPart[] {
  const parts: AskedPart[] = [];
  const wanted = 1 + random.nat(3);
  const open = [...lines.entries()].filter(([, line]) => leftOf(line, lines) > 0n);
  while (parts.length < wanted && open.length > 0) {
    const [chosen] = open.splice(random.nat(open.length), 1);
    if (chosen === undefined) break;
    const [index, line] = chosen;
    const left = random.unusual(0.1) ? line.net - line.creditedNet : leftOf(line, lines, parts);
    if (left > 0n) parts.push({ lineNumber: index + 1, net: partOf(left, random) });
  }
  return parts;
}

/** What can be credited of a line by a note that credits these parts as well. */
function leftOf(line: InvoiceLine, lines: Invoice['lines'], parts: readonly AskedPart[] = []): bigint {
  const ofLine = line.net - line.creditedNet;
  const others = parts.filter(({ lineNumber }) => lines[lineNumber - 1]?.rate === line.rate);
  const atRate = leftAtRate(line.rate, lines).net - sumOf(others, ({ net }) => BigInt(net));
  return ofLine < atRate ? ofLine : atRate;
}

/** What was charged at a rate in all and is not credited yet; nothing, where discounts take off more than that. */
function leftAtRate(rate: bigint, lines: Invoice['lines']): { readonly net: bigint; readonly tax: bigint } {
  const ofRate = lines.filter((line) => line.rate === rate);
  const notBelowZero = (amount: bigint) => (amount > 0n ? amount : 0n);
  return {
    net: notBelowZero(sumOf(ofRate, ({ net, creditedNet }) => net - creditedNet)),
    tax: notBelowZero(sumOf(ofRate, ({ tax, creditedTax }) => tax - creditedTax)),
  };
}

/** Each part with its tax, by line number: the line's in proportion, or its rest, while there is tax left at the rate. */
function creditedParts(lines: Invoice['lines'], asked: readonly AskedPart[]) {
  const parts = asked
    .toSorted((one, other) => one.lineNumber - other.lineNumber)
    .flatMap(({ lineNumber, net }) => {
      const line = lines[lineNumber - 1];
      return line === undefined ? [] : [{ line, net: BigInt(net), tax: 0n }];
    });
  for (const rate of new Set(parts.map(({ line }) => line.rate))) {
    const ofRate = parts.filter(({ line }) => line.rate === rate);
    const left = leftAtRate(rate, lines);
    const raise = (part: (typeof parts)[number], to: bigint) => {
      const free = left.tax - sumOf(ofRate, ({ tax }) => tax);
      part.tax = to - part.tax < free ? to : part.tax + free;
    };
    for (const part of ofRate) {
      const { net, tax, creditedNet, creditedTax } = part.line;
      const share = divide(tax * part.net, net);
      raise(part, part.net === net - creditedNet || share > tax - creditedTax ? tax - creditedTax : share);
    }
    if (sumOf(ofRate, ({ net }) => net) !== left.net) continue;
    for (const part of ofRate) raise(part, part.line.tax - part.line.creditedTax);
  }
  return parts;
}
