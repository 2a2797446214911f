import { z } from 'zod';
import { amountAt } from '../approvals/amounts.ts';
import { formatAmount } from '../currencies.ts';
import { DEMO } from '../demo.ts';
import { date, description, id } from '../fields.ts';
import { matchMirror } from '../ledger/bank-matches.ts';
import { correctionDate, DATE_BEFORE_ORIGINAL } from '../ledger/correction-date.ts';
import { ABOVE_TOTAL, firstDayAboveTotal } from '../ledger/due-by-day.ts';
import { DATE_TOO_LATE, PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { postMirror } from '../ledger/post-mirror.ts';
import { ALREADY_VOIDED, isReconciled, LINE_RECONCILED } from '../ledger/voids.ts';
import { defineOperation } from '../operation.ts';
import { PAYMENT_COLUMNS, type PaymentRow, paymentResource, toPayment } from '../resources/payment.ts';

export const voidPayment = defineOperation({
  name: 'voidPayment',
  type: 'financial',
  summary: 'Void a payment',
  description:
    'Takes a payment back that was recorded by mistake, or that the bank took back (`bounced`): its amount is due on the invoice ' +
    'again. Nothing of it may be refunded (void the refunds first), and its line of the bank account may not be reconciled. Posts ' +
    'the mirror of its entry, dated `date` or today in the company’s time zone. The two lines of the bank account match each other, ' +
    'since no bank will tell of them; those of a payment that bounced stay unreconciled, each for its own bank transaction. ' +
    'The payment keeps its number.',
  method: 'POST',
  path: '/api/payments/:paymentId/void',
  params: z.strictObject({ paymentId: id() }),
  body: z.strictObject({ reason: description(), date: date().optional(), bounced: z.boolean().default(false) }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 200,
  resource: paymentResource,
  event: 'payment.voided',
  effects: {
    posts: 'always',
    entry: 'the mirror of what the payment posted: Dr 1100 · Cr 1000, or its bank account',
    dated: '`date`',
  },
  rejections: {
    payment_not_found: { status: 404, title: 'There is no such payment' },
    already_voided: ALREADY_VOIDED,
    payment_refunded: { status: 409, title: 'The payment is refunded in full or in part' },
    line_reconciled: LINE_RECONCILED,
    date_before_original: DATE_BEFORE_ORIGINAL,
    as_of_conflict: ABOVE_TOTAL,
    period_closed: PERIOD_CLOSED,
    date_too_late: { ...DATE_TOO_LATE, about: { in: 'body', pointer: '/date' } },
  },
  constraints: {
    period_closed: 'period_closed',
    date_too_late: 'date_too_late',
    as_of_conflict: 'as_of_conflict',
    // Reconciling takes the line without the payment.
    bank_matches_line_once: 'line_reconciled',
  },
  examples: [
    {
      name: 'void-payment',
      summary: 'A payment that was recorded for the wrong invoice',
      params: { paymentId: DEMO.voidablePaymentId },
      body: { reason: 'Paid another invoice', date: '2026-03-16' },
    },
    {
      name: 'bounced',
      summary: 'A check that the bank took back',
      params: { paymentId: DEMO.bouncedPaymentId },
      body: { reason: 'Insufficient funds', date: '2026-03-17', bounced: true },
    },
  ],
  approvalAmount: amountAt('amount'),
  summarize: ({ params, body: { bounced } }) => `voidPayment ${params.paymentId}${bounced ? ', which bounced' : ''}`,

  async write(tx, { params: { paymentId }, body }, context) {
    // Nothing is read by the statement that waits for the lock: its snapshot may be older than what it has waited for.
    const [, [payment]] = await Promise.all([
      tx.query('SELECT id FROM lock_payment(p_company => $1, p_payment => $2)', [context.companyId, paymentId]),
      tx.query<PaymentRow & { today: string; is_reconciled: boolean }>(
        `SELECT ${PAYMENT_COLUMNS}, company_today($1) AS today, ${isReconciled('p.journal_entry_id')} AS is_reconciled
         FROM payments p WHERE company_id = $1 AND id = $2`,
        [context.companyId, paymentId],
      ),
    ]);
    if (payment === undefined) {
      throw context.reject('payment_not_found', `There is no payment ${paymentId}.`, '/paymentId', 'path');
    }
    const { currency, amount_minor: amountMinor } = payment;
    if (payment.voided_on !== null) {
      throw context.reject('already_voided', `It was voided on ${payment.voided_on}.`, '/paymentId', 'path');
    }
    if (payment.refunded_minor > 0n) {
      const refunded = formatAmount(payment.refunded_minor, currency);
      throw context.reject(
        'payment_refunded',
        `${refunded} is refunded: void the refunds first.`,
        '/paymentId',
        'path',
      );
    }
    if (payment.is_reconciled) {
      throw context.reject('line_reconciled', 'Unreconcile the bank transaction first.', '/paymentId', 'path');
    }
    const voidedOn = correctionDate(
      { requested: body.date, today: payment.today, originalDate: payment.received_on },
      context,
    );
    const conflict = await firstDayAboveTotal(tx, context.companyId, {
      ...{ invoiceId: payment.invoice_id, date: voidedOn, raised: amountMinor },
    });
    if (conflict !== undefined) {
      const due = formatAmount(conflict.due, currency);
      throw context.reject('as_of_conflict', `${due} is due on the invoice as of ${conflict.day} already.`, '/date');
    }
    const entryId = payment.journal_entry_id;
    const mirrorId = await postMirror(
      tx,
      { entryId, date: voidedOn, description: `Payment ${payment.id} voided` },
      context,
    );
    if (!body.bounced) await matchMirror(tx, [entryId, mirrorId], context);
    const [, [row]] = await Promise.all([
      tx.query(
        `SELECT record_payment_void(
           p_company => $1, p_payment => $2, p_date => $3, p_reason => $4, p_entry => $5, p_bounced => $6)`,
        [context.companyId, payment.id, voidedOn, body.reason, mirrorId, body.bounced],
      ),
      tx.query<PaymentRow>(`SELECT ${PAYMENT_COLUMNS} FROM payments WHERE company_id = $1 AND id = $2`, [
        context.companyId,
        payment.id,
      ]),
    ]);
    if (row === undefined) throw new Error('Bug! The locked payment does not exist');
    return { resourceId: row.id, body: toPayment(row) };
  },
});
