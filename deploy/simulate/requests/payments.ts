import { MAX_AMOUNT_MINOR } from '../../../activities/money.ts';
import { codesOf, divide, isClosed, isFarAhead, post, postingDay } from './books.ts';
import { dueOn, isPayable, leastDue, statusOf, takingDay } from './invoices.ts';
import { created, refused, workingOn } from './operation-model.ts';
import type { Random } from './random.ts';

const createPayment = workingOn(({ invoices }) => invoices, {
  weight: 14,
  fits: isPayable,
  madeBy: 'finalizeInvoice',
  notFound: [422, 'invoice_not_found'],
  body(invoice, invoiceId, books, random) {
    const { pick, chance, unusual } = random;
    const banks = codesOf(books, ({ isBank }) => isBank);
    return {
      invoiceId,
      amount: partOf(invoice ? dueOn(invoice) : 100n, random),
      currency: unusual(0.03) ? 'EUR' : (invoice?.currency ?? 'USD'),
      method: pick(['other', 'bank_transfer', 'card', 'cash', 'check']),
      receivedOn: unusual(0.1) ? postingDay(books, random) : takingDay(invoice, books, random),
      ...(chance(0.2) && { bankAccountCode: unusual(0.1) ? '3000' : pick(banks) }),
    };
  },
  answer(invoice, { body }, books, write) {
    if (!isPayable(invoice)) return refused(409, 'invoice_not_payable');
    if (invoice.currency !== body.currency) return refused(422, 'currency_mismatch');
    const amount = BigInt(body.amount);
    if (amount > dueOn(invoice)) return refused(422, 'payment_exceeds_outstanding');
    const bank: string = body.bankAccountCode ?? '1000';
    if (books.accounts.get(bank)?.isBank !== true) return refused(422, 'account_not_usable');
    if (body.receivedOn < invoice.issueDate) return refused(422, 'date_before_invoice');
    if (amount > leastDue(invoice, body.receivedOn)) return refused(422, 'as_of_conflict');
    if (isClosed(books, body.receivedOn)) return refused(409, 'period_closed');
    if (isFarAhead(body.receivedOn)) return refused(422, 'date_too_late');
    return created(() => {
      invoice.paid += amount;
      invoice.moved.push({ date: body.receivedOn, amount: -amount });
      books.payments.set(write.id, { invoice, amount, refunded: 0n, on: body.receivedOn, bank });
      const lines = [[bank, amount] as const, ['1100', -amount] as const];
      post(books, { date: body.receivedOn, currency: body.currency, lines }, write);
    });
  },
});

const createRefund = workingOn(({ payments }) => payments, {
  weight: 4,
  fits: ({ amount, refunded }) => amount > refunded,
  madeBy: 'createPayment',
  notFound: [422, 'payment_not_found'],
  body(payment, paymentId, books, random) {
    const amount = partOf(payment ? payment.amount - payment.refunded : 1n, random);
    return { paymentId, amount, reason: 'Paid twice', date: postingDay(books, random, payment?.on) };
  },
  answer(payment, { body }, books, write) {
    const amount = BigInt(body.amount);
    if (amount > payment.amount - payment.refunded) return refused(422, 'refund_exceeds_payment');
    if (body.date < payment.on) return refused(422, 'date_before_original');
    if (isClosed(books, body.date)) return refused(409, 'period_closed');
    if (isFarAhead(body.date)) return refused(422, 'date_too_late');
    return created(() => {
      payment.refunded += amount;
      payment.invoice.paid -= amount;
      payment.invoice.moved.push({ date: body.date, amount });
      const lines = [['1100', amount] as const, [payment.bank, -amount] as const];
      post(books, { date: body.date, currency: payment.invoice.currency, lines }, write);
    });
  },
});

const createCreditNote = workingOn(({ invoices }) => invoices, {
  weight: 4,
  fits: isPayable,
  madeBy: 'finalizeInvoice',
  notFound: [404, 'invoice_not_found'],
  body(invoice, _, books, random) {
    const lines = [...(invoice?.lines ?? []).entries()];
    const open = lines.filter(([, { net, creditedNet }]) => net > creditedNet);
    const negative = lines.findIndex(([, { net }]) => net < 0n);
    if (negative !== -1 && random.unusual(0.3)) {
      const date = postingDay(books, random, invoice?.issueDate);
      return { lines: [{ lineNumber: negative + 1, net: 1 }], reason: 'Agreed discount', date };
    }
    const [index, line] = open.length > 0 && !random.unusual(0.04) ? random.pick(open) : [98, undefined];
    const net = partOf(line ? line.net - line.creditedNet : 1n, random);
    const date = takingDay(invoice, books, random);
    return { lines: [{ lineNumber: index + 1, net }], reason: 'Agreed discount', date };
  },
  answer(invoice, { body }, books, write) {
    if (['draft', 'void'].includes(statusOf(invoice))) return refused(409, 'invoice_not_creditable');
    const [{ lineNumber, net: asked }] = body.lines;
    const line = invoice.lines[lineNumber - 1];
    if (line === undefined) return refused(422, 'invoice_line_not_found');
    if (line.net < 0n) return refused(422, 'invoice_line_not_creditable');
    const net = BigInt(asked);
    if (net > line.net - line.creditedNet) return refused(422, 'credit_exceeds_line');
    const taxLeft = line.tax - line.creditedTax;
    const share = divide(line.tax * net, line.net);
    const tax = net === line.net - line.creditedNet || share > taxLeft ? taxLeft : share;
    if (net + tax > dueOn(invoice)) return refused(422, 'credit_exceeds_due');
    if (body.date < invoice.issueDate) return refused(422, 'date_before_original');
    if (net + tax > leastDue(invoice, body.date)) return refused(422, 'as_of_conflict');
    if (isClosed(books, body.date)) return refused(409, 'period_closed');
    if (isFarAhead(body.date)) return refused(422, 'date_too_late');
    return created(() => {
      line.creditedNet += net;
      line.creditedTax += tax;
      invoice.credited += net + tax;
      invoice.moved.push({ date: body.date, amount: -net - tax });
      const lines = [[line.account, net] as const, ['2100', tax] as const, ['1100', -net - tax] as const];
      post(books, { date: body.date, currency: invoice.currency, lines }, write);
    });
  },
});

export const PAYMENTS = { createPayment, createRefund, createCreditNote };

/** Of what is left: all of it or a part, at least 1; now and then 1 too many, where a request can carry that. */
function partOf(left: bigint, { nat, pick, unusual }: Random): number {
  const part =
    left < MAX_AMOUNT_MINOR && unusual(0.06)
      ? left + 1n
      : pick([left, left / 2n, left / 3n, BigInt(1 + nat(Math.max(1, Number(left))))]);
  return Number(part > 0n ? part : 1n);
}
