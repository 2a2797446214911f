import {
  type Books,
  type CreditNote,
  divide,
  type Invoice,
  type InvoiceLine,
  isClosed,
  isFarAhead,
  postingDay,
  sumOf,
} from './books.ts';
import { dueOn, isPayable, leastDue, leastRoom, statusOf, takingDay } from './invoices.ts';
import { over, refused, workingOn } from './operation-model.ts';
import { partOf } from './payments.ts';
import { post, postMirrorOf } from './postings.ts';
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
    return over({ amount: total, currency: invoice.currency }).created(() => {
      for (const { line, net, tax } of parts) {
        line.creditedNet += net;
        line.creditedTax += tax;
      }
      invoice.credited += total;
      invoice.moved.push({ date: body.date, amount: -total });
      const income = parts.map(({ line, net }) => [line.account, net] as const);
      const tax = sumOf(parts, (part) => part.tax);
      const lines = [...income, ['2100', tax] as const, ['1100', -total] as const];
      const entryId = post(books, { date: body.date, currency: invoice.currency, lines }, write);
      books.creditNotes.set(write.id, { invoice, parts, total, on: body.date, entryId, isVoid: false });
    });
  },
});

const voidCreditNote = workingOn(({ creditNotes }) => creditNotes, {
  weight: 3,
  fits: ({ isVoid }) => !isVoid,
  madeBy: 'createCreditNote',
  notFound: [404, 'credit_note_not_found'],
  body: (note, _, books, random) => ({ reason: 'Not agreed', date: postingDay(books, random, note?.on) }),
  answer(note, { target, body }, books) {
    const { invoice, parts, total } = note;
    if (note.isVoid) return refused(409, 'already_voided');
    if (hasLaterNote(note, books)) return refused(409, 'not_latest_credit');
    if (body.date < note.on) return refused(422, 'date_before_original');
    if (total > leastRoom(invoice, body.date)) return refused(422, 'as_of_conflict');
    if (isClosed(books, body.date)) return refused(409, 'period_closed');
    if (isFarAhead(body.date)) return refused(422, 'date_too_late');
    if (leavesTax(note)) return refused(409, 'not_latest_credit');
    return over({ amount: total, currency: invoice.currency }).changed(() => {
      note.isVoid = true;
      for (const { line, net, tax } of parts) {
        line.creditedNet -= net;
        line.creditedTax -= tax;
      }
      invoice.credited -= total;
      invoice.moved.push({ date: body.date, amount: total });
      postMirrorOf(books, note.entryId, body.date);
    }, target);
  },
});

export const CREDIT_NOTES = { createCreditNote, voidCreditNote };

/** Whether a note that was made after it has credited one of its lines. */
function hasLaterNote(note: CreditNote, { creditNotes }: Books): boolean {
  const notes = [...creditNotes.values()];
  const lines = new Set(note.parts.map(({ line }) => line));
  const later = notes.slice(notes.indexOf(note) + 1).filter(({ isVoid }) => !isVoid);
  return later.some(({ parts }) => parts.some(({ line }) => lines.has(line)));
}

/** Whether, without the note, a line whose net is all credited has less than its tax, though there is tax left at its rate. */
function leavesTax({ invoice, parts }: CreditNote): boolean {
  const lines = invoice.lines.map((line) => {
    const part = parts.find((one) => one.line === line) ?? { net: 0n, tax: 0n };
    return { ...line, creditedNet: line.creditedNet - part.net, creditedTax: line.creditedTax - part.tax };
  });
  return lines.some(
    ({ rate, net, tax, creditedNet, creditedTax }) =>
      parts.some(({ line }) => line.rate === rate) &&
      creditedNet === net &&
      creditedTax !== tax &&
      leftAtRate(rate, lines).tax > 0n,
  );
}

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
