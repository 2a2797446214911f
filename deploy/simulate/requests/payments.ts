import { rowId } from '../../../activities/identity.ts';
import { MAX_AMOUNT_MINOR } from '../../../activities/money.ts';
import { type Books, codesOf, isClosed, isFarAhead, postingDay } from './books.ts';
import { dueOn, isPayable, leastDue, leastRoom, takingDay } from './invoices.ts';
import { over, refused, workingOn } from './operation-model.ts';
import { post, postMirrorOf } from './postings.ts';
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
    return over({ amount, currency: invoice.currency }).created(() => {
      invoice.paid += amount;
      invoice.moved.push({ date: body.receivedOn, amount: -amount });
      const lines = [[bank, amount] as const, ['1100', -amount] as const];
      const entryId = post(books, { date: body.receivedOn, currency: body.currency, lines }, write);
      const posted = { entryId, lineId: rowId(write.id, 'journal_lines', 0) };
      const payment = { invoice, amount, refunded: 0n, on: body.receivedOn, bank, posted, isVoid: false };
      books.payments.set(write.id, payment);
    });
  },
});

const createRefund = workingOn(({ payments }) => payments, {
  weight: 4,
  fits: ({ amount, refunded, isVoid }) => !isVoid && amount > refunded,
  madeBy: 'createPayment',
  notFound: [422, 'payment_not_found'],
  body(payment, paymentId, books, random) {
    const amount = partOf(payment ? payment.amount - payment.refunded : 1n, random);
    return { paymentId, amount, reason: 'Paid twice', date: postingDay(books, random, payment?.on) };
  },
  answer(payment, { body }, books, write) {
    const amount = BigInt(body.amount);
    if (payment.isVoid || amount > payment.amount - payment.refunded) return refused(422, 'refund_exceeds_payment');
    if (body.date < payment.on) return refused(422, 'date_before_original');
    if (amount > leastRoom(payment.invoice, body.date)) return refused(422, 'as_of_conflict');
    if (isClosed(books, body.date)) return refused(409, 'period_closed');
    if (isFarAhead(body.date)) return refused(422, 'date_too_late');
    return over({ amount, currency: payment.invoice.currency }).created(() => {
      payment.refunded += amount;
      payment.invoice.paid -= amount;
      payment.invoice.moved.push({ date: body.date, amount });
      const lines = [['1100', amount] as const, [payment.bank, -amount] as const];
      const entryId = post(books, { date: body.date, currency: payment.invoice.currency, lines }, write);
      const posted = { entryId, lineId: rowId(write.id, 'journal_lines', 1) };
      books.refunds.set(write.id, { payment, amount, on: body.date, posted, isVoid: false });
    });
  },
});

const voidPayment = workingOn(({ payments }) => payments, {
  weight: 3,
  fits: ({ refunded, isVoid }) => !isVoid && refunded === 0n,
  madeBy: 'createPayment',
  notFound: [404, 'payment_not_found'],
  body: (payment, _, books, random) => ({
    ...{ reason: 'Another invoice was meant', date: postingDay(books, random, payment?.on) },
    ...(random.chance(0.3) && { bounced: random.chance(0.8) }),
  }),
  answer(payment, { target, body }, books) {
    const { invoice, amount, posted } = payment;
    if (payment.isVoid) return refused(409, 'already_voided');
    if (payment.refunded > 0n) return refused(409, 'payment_refunded');
    const line = books.bankLines.get(posted.lineId);
    if (line?.matched !== undefined) return refused(409, 'line_reconciled');
    if (body.date < payment.on) return refused(422, 'date_before_original');
    if (amount > leastRoom(invoice, body.date)) return refused(422, 'as_of_conflict');
    if (isClosed(books, body.date)) return refused(409, 'period_closed');
    if (isFarAhead(body.date)) return refused(422, 'date_too_late');
    return over({ amount, currency: invoice.currency }).changed(() => {
      payment.isVoid = true;
      invoice.paid -= amount;
      invoice.moved.push({ date: body.date, amount });
      // The other line of the two has an ID that no request names.
      if (line && body.bounced !== true) line.matched = 'reversed';
      postMirrorOf(books, posted.entryId, body.date);
    }, target);
  },
});

const voidRefund = workingOn(({ refunds }) => refunds, {
  weight: 2,
  fits: ({ isVoid, payment, amount }) => !isVoid && amount <= dueOn(payment.invoice),
  madeBy: 'createRefund',
  notFound: [404, 'refund_not_found'],
  body: (refund, _, books, random) => ({
    reason: 'It was never paid out',
    date: dayAfterRaises(refund, books, random),
  }),
  answer(refund, { target, body }, books) {
    const { payment, amount, posted } = refund;
    const { invoice } = payment;
    if (refund.isVoid) return refused(409, 'already_voided');
    const line = books.bankLines.get(posted.lineId);
    if (line?.matched !== undefined) return refused(409, 'line_reconciled');
    if (amount > dueOn(invoice)) return refused(409, 'invoice_overpaid');
    if (body.date < refund.on) return refused(422, 'date_before_original');
    if (amount > leastDue(invoice, body.date)) return refused(422, 'as_of_conflict');
    if (isClosed(books, body.date)) return refused(409, 'period_closed');
    if (isFarAhead(body.date)) return refused(422, 'date_too_late');
    return over({ amount, currency: invoice.currency }).changed(() => {
      refund.isVoid = true;
      payment.refunded -= amount;
      invoice.paid += amount;
      invoice.moved.push({ date: body.date, amount: -amount });
      if (line) line.matched = 'reversed';
      postMirrorOf(books, posted.entryId, body.date);
    }, target);
  },
});

export const PAYMENTS = { createPayment, createRefund, voidPayment, voidRefund };

/** Now and then the day of the refund itself, when another payment may have taken what it gave back. */
function dayAfterRaises(refund: { readonly on: string } | undefined, books: Books, random: Random): string {
  return refund && random.chance(0.2) ? refund.on : postingDay(books, random, refund?.on);
}

/** Of what is left: all of it or a part, at least 1; now and then 1 too many, where a request can carry that. */
export function partOf(left: bigint, { nat, pick, unusual }: Random): number {
  const part =
    left < MAX_AMOUNT_MINOR && unusual(0.06)
      ? left + 1n
      : pick([left, left / 2n, left / 3n, BigInt(1 + nat(Math.max(1, Number(left))))]);
  return Number(part > 0n ? part : 1n);
}
