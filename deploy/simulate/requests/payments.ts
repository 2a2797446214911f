import { MAX_AMOUNT_MINOR } from '../../../activities/money.ts';
import { codesOf, isClosed, isFarAhead, post, postingDay } from './books.ts';
import { dueOn, isPayable, leastDue, takingDay } from './invoices.ts';
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

export const PAYMENTS = { createPayment, createRefund };

/** Of what is left: all of it or a part, at least 1; now and then 1 too many, where a request can carry that. */
export function partOf(left: bigint, { nat, pick, unusual }: Random): number {
  const part =
    left < MAX_AMOUNT_MINOR && unusual(0.06)
      ? left + 1n
      : pick([left, left / 2n, left / 3n, BigInt(1 + nat(Math.max(1, Number(left))))]);
  return Number(part > 0n ? part : 1n);
}
