import { z } from 'zod';
import { amountAt } from '../approvals/amounts.ts';
import { formatAmount } from '../currencies.ts';
import type { Tx } from '../database.ts';
import { DEMO } from '../demo.ts';
import { amount, date, description, id, metadata } from '../fields.ts';
import { inStoredOrder, toJson } from '../json.ts';
import { correctionDate, DATE_BEFORE_ORIGINAL } from '../ledger/correction-date.ts';
import { ABOVE_TOTAL, type DueDays, firstOf, toChanges } from '../ledger/due-by-day.ts';
import {
  type EntryOfSet,
  entryOf,
  loadPostingFacts,
  type PostingFacts,
  postEntries,
  requireNotTooLate,
  requireOpenPeriod,
} from '../ledger/post-entries.ts';
import { DATE_TOO_LATE, PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { NOT_VOID } from '../ledger/voids.ts';
import { defineSetOperation } from '../operation.ts';
import type { PaymentRow } from '../resources/payment.ts';
import { type RefundRow, refundResource, toRefund } from '../resources/refund.ts';
import { type Change, firstShortDay, withChange } from '../short-day.ts';

export const createRefund = defineSetOperation({
  name: 'createRefund',
  type: 'financial',
  summary: 'Refund a payment in full or in part',
  description:
    'Pays money back to the customer: the refunded amount is due on the invoice again. All refunds of a payment together cannot ' +
    'exceed it. Posts debit accounts receivable, credit the bank account of the payment. The entry is dated `date`, or today ' +
    'in the company’s time zone. The refund gets the company’s next number of its kind, without gaps. To undo a sale, refund the payment and then void or credit the invoice.',
  method: 'POST',
  path: '/api/refunds',
  params: z.strictObject({}),
  body: z.strictObject({
    paymentId: id(),
    amount: amount(),
    reason: description(),
    date: date().optional(),
    metadata: metadata().optional(),
  }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 201,
  resource: refundResource,
  event: 'refund.created',
  effects: {
    posts: 'always',
    entry: 'Dr 1100 · Cr 1000, or the payment’s bank account: the claim is there again',
    dated: '`date`',
    makes: 'refunds',
  },
  takesNumber: 'refund',
  rejections: {
    payment_not_found: { status: 422, title: 'There is no such payment', nextAction: 'fix_request' },
    refund_exceeds_payment: {
      status: 422,
      title: 'The amount exceeds what is left of the payment',
      nextAction: 'fix_request',
    },
    date_before_original: DATE_BEFORE_ORIGINAL,
    as_of_conflict: ABOVE_TOTAL,
    period_closed: PERIOD_CLOSED,
    date_too_late: DATE_TOO_LATE,
  },
  constraints: { period_closed: 'period_closed', date_too_late: 'date_too_late', as_of_conflict: 'as_of_conflict' },
  examples: [
    {
      name: 'refund',
      summary: 'Part of a payment',
      params: {},
      body: { paymentId: DEMO.refundablePaymentId, amount: 2_000, reason: 'Paid twice', date: '2026-03-12' },
    },
  ],
  // In minor units, because only the payment's row has the currency.
  approvalAmount: amountAt('amount'),
  summarize: ({ body }) => `createRefund of ${body.amount} minor units of payment ${body.paymentId}`,

  set: {
    async load(tx, companyId, inputs): Promise<State> {
      const [payments, facts] = await Promise.all([
        lockPayments(
          tx,
          companyId,
          inputs.map(({ body }) => body.paymentId),
          inputs.map(({ body }) => body.date),
        ),
        loadPostingFacts(tx, companyId, []),
      ]);
      return { payments, facts, refunds: [], entries: [] };
    },

    decide({ payments, facts, refunds, entries }, { body }, context) {
      const payment = payments.get(body.paymentId);
      if (payment === undefined) {
        throw context.reject('payment_not_found', `There is no payment ${body.paymentId}.`, '/paymentId');
      }
      const amountMinor = BigInt(body.amount);
      if (payment.voided_on !== null) {
        throw context.reject(
          'refund_exceeds_payment',
          `Nothing is left of the payment: it was voided on ${payment.voided_on}.`,
          '/paymentId',
        );
      }
      const leftMinor = payment.amount_minor - payment.refunded_minor;
      if (amountMinor > leftMinor) {
        const left = formatAmount(leftMinor, payment.currency);
        throw context.reject('refund_exceeds_payment', `${left} is left of the payment.`, '/amount');
      }
      const refundedOn = correctionDate(
        { requested: body.date, today: facts.today, originalDate: payment.received_on },
        context,
      );
      const { room } = payment;
      const conflict = firstShortDay(room.balance, room.later, { date: refundedOn, taken: amountMinor });
      if (conflict !== undefined) {
        const most = formatAmount(conflict.left, payment.currency);
        throw context.reject('as_of_conflict', `As of ${conflict.day}, only ${most} can become due again.`, '/date');
      }
      requireOpenPeriod(facts, refundedOn, '/date', context);
      requireNotTooLate(facts, refundedOn, '/date', context);

      const { currency } = payment;
      const entry = entryOf(
        {
          date: refundedOn,
          description: `Refund ${context.writeId} of payment ${payment.id}`,
          lines: [
            { role: 'receivable', amountMinor, currency },
            { account: payment.bank_account, amountMinor: -amountMinor, currency },
          ],
        },
        context,
      );
      const refund = {
        id: context.writeId,
        number: null,
        payment_id: payment.id,
        invoice_id: payment.invoice_id,
        amount_minor: amountMinor,
        currency,
        refunded_on: refundedOn,
        reason: body.reason,
        ...NOT_VOID,
        journal_entry_id: entry.id,
        metadata: inStoredOrder(body.metadata),
        created_at: facts.now,
      };
      payment.refunded_minor += amountMinor;
      room.balance -= amountMinor;
      if (room.later.length > 0) room.later = withChange(room.later, { day: refundedOn, amount: -amountMinor });
      entries.push(entry);
      refunds.push(refund);
      return { resourceId: refund.id, body: toRefund(refund) };
    },

    apply(tx, companyId, { refunds, entries }) {
      if (refunds.length === 0) return [];
      return [
        postEntries(tx, companyId, 'createRefund', entries),
        tx.query('SELECT record_refunds(p_company => $1, p_refunds => $2)', [companyId, toJson(refunds)]),
      ];
    },
  },
});

type State = {
  readonly payments: ReadonlyMap<string, LockedPayment>;
  readonly facts: PostingFacts;
  readonly refunds: RefundRow[];
  readonly entries: EntryOfSet[];
};

/** A payment that this transaction holds, with its invoice; the refunds of a set take from it one after another. */
type LockedPayment = Pick<
  PaymentRow,
  'id' | 'invoice_id' | 'amount_minor' | 'currency' | 'received_on' | 'voided_on'
> & {
  refunded_minor: bigint;
  readonly bank_account: string;
  readonly room: Room;
};

/** What of an invoice is not due, and the later days on which that changes: only where a refund was voided later. */
type Room = { balance: bigint; later: readonly Change[] };

type PaymentOfInvoice = Omit<LockedPayment, 'room'> & { readonly room_minor: bigint; readonly later: DueDays };

/** Those that the company does not have are left out. Payments of one invoice share its room. */
async function lockPayments(
  tx: Tx,
  companyId: string,
  paymentIds: readonly string[],
  dates: readonly (string | undefined)[],
): Promise<ReadonlyMap<string, LockedPayment>> {
  const payments = await tx.query<PaymentOfInvoice>(
    `SELECT id, invoice_id, amount_minor, refunded_minor, currency, received_on, voided_on, bank_account, room_minor, later
     FROM lock_refundable(p_company => $1, p_payments => $2, p_since => $3)`,
    [companyId, [...new Set(paymentIds)], firstOf(dates)],
  );
  const rooms = new Map<string, Room>(
    payments.map(({ invoice_id: invoiceId, room_minor: balance, later }) => [
      invoiceId,
      { balance, later: toChanges(later).map(({ day, amount }) => ({ day, amount: -amount })) },
    ]),
  );
  return new Map(
    payments.map((payment) => {
      const room = rooms.get(payment.invoice_id);
      if (room === undefined) throw new Error('Bug! A payment without its invoice');
      return [payment.id, { ...payment, room }];
    }),
  );
}
