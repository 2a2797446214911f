import { z } from 'zod';
import { formatAmount } from '../currencies.ts';
import { DEMO } from '../demo.ts';
import { amount, date, description, id, metadata } from '../fields.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';
import { correctionDate, DATE_BEFORE_ORIGINAL } from '../ledger/correction-date.ts';
import { PERIOD_CLOSED, postEntry } from '../ledger/post-entry.ts';
import { defineOperation } from '../operation.ts';
import type { PaymentRow } from '../resources/payment.ts';
import { REFUND_COLUMNS, type RefundRow, refundResource, toRefund } from '../resources/refund.ts';

export const createRefund = defineOperation({
  name: 'createRefund',
  type: 'financial',
  summary: 'Refund a payment in full or in part',
  description:
    'Pays money back to the customer: the refunded amount is due on the invoice again. All refunds of a payment together cannot ' +
    'exceed it. Posts debit accounts receivable, credit the bank account of the payment. The entry is dated `date`, or today ' +
    'in the company’s time zone. To undo a sale, refund the payment and then void or credit the invoice.',
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
  rejections: {
    payment_not_found: { status: 422, title: 'There is no such payment', nextAction: 'fix_request' },
    refund_exceeds_payment: {
      status: 422,
      title: 'The amount exceeds what is left of the payment',
      nextAction: 'fix_request',
    },
    date_before_original: DATE_BEFORE_ORIGINAL,
    period_closed: PERIOD_CLOSED,
  },
  constraints: { period_closed: 'period_closed' },
  examples: [
    {
      name: 'refund',
      summary: 'Part of a payment',
      params: {},
      body: { paymentId: DEMO.refundablePaymentId, amount: 2_000, reason: 'Paid twice', date: '2026-03-12' },
    },
  ],
  // In minor units, because only the payment's row has the currency.
  summarize: ({ body }) => `createRefund of ${body.amount} minor units of payment ${body.paymentId}`,

  async write(tx, { body }, context) {
    const [payment] = await tx.query<LockedPayment>(
      `SELECT p.id, p.invoice_id, p.amount_minor, p.refunded_minor, p.currency, p.received_on, bank.code AS bank_account,
         company_today($1) AS today
       FROM lock_payment($1, $2) AS p
       JOIN accounts bank ON bank.company_id = $1 AND bank.id = p.bank_account_id`,
      [context.companyId, body.paymentId],
    );
    if (payment === undefined) {
      throw context.reject('payment_not_found', `There is no payment ${body.paymentId}.`, '/paymentId');
    }
    const amountMinor = BigInt(body.amount);
    const leftMinor = payment.amount_minor - payment.refunded_minor;
    if (amountMinor > leftMinor) {
      const left = formatAmount(leftMinor, payment.currency);
      throw context.reject('refund_exceeds_payment', `${left} is left of the payment.`, '/amount');
    }

    const { today, currency } = payment;
    const refundedOn = correctionDate({ requested: body.date, today, originalDate: payment.received_on }, context);
    const entryId = await postEntry(
      tx,
      {
        date: refundedOn,
        description: `Refund ${context.writeId} of payment ${payment.id}`,
        lines: [
          { account: ACCOUNTS.receivable, amountMinor, currency },
          { account: payment.bank_account, amountMinor: -amountMinor, currency },
        ],
      },
      context,
    );
    const [row] = await tx.query<RefundRow>(
      `WITH due_again AS (
         UPDATE invoices SET paid_minor = paid_minor - $4 WHERE company_id = $1 AND id = $9
       ), p AS (
         UPDATE payments SET refunded_minor = refunded_minor + $4 WHERE company_id = $1 AND id = $3
         RETURNING invoice_id, currency
       ), r AS (
         INSERT INTO refunds (company_id, id, payment_id, amount_minor, refunded_on, reason, journal_entry_id, metadata)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         RETURNING *
       )
       SELECT ${REFUND_COLUMNS} FROM r, p`,
      [
        context.companyId,
        context.writeId,
        payment.id,
        amountMinor,
        refundedOn,
        body.reason,
        entryId,
        JSON.stringify(body.metadata ?? {}),
        payment.invoice_id,
      ],
    );
    if (row === undefined) throw new Error('Bug! The INSERT returned no row');
    return { resourceId: row.id, body: toRefund(row) };
  },
});

type LockedPayment = Pick<
  PaymentRow,
  'id' | 'invoice_id' | 'amount_minor' | 'refunded_minor' | 'currency' | 'received_on'
> & { bank_account: string; today: string };
