import { z } from 'zod';
import { amountAt } from '../approvals/amounts.ts';
import { formatAmount } from '../currencies.ts';
import type { Tx } from '../database.ts';
import { DEMO } from '../demo.ts';
import { date, description, id } from '../fields.ts';
import { matchMirror } from '../ledger/bank-matches.ts';
import { correctionDate, DATE_BEFORE_ORIGINAL } from '../ledger/correction-date.ts';
import { AS_OF_CONFLICT, firstConflict, type LockedClaim, lockClaims } from '../ledger/due-by-day.ts';
import { DATE_TOO_LATE, PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { postMirror } from '../ledger/post-mirror.ts';
import { ALREADY_VOIDED, isReconciled, LINE_RECONCILED } from '../ledger/voids.ts';
import { defineOperation } from '../operation.ts';
import { REFUND_COLUMNS, type RefundRow, refundResource, toRefund } from '../resources/refund.ts';

export const voidRefund = defineOperation({
  name: 'voidRefund',
  type: 'financial',
  summary: 'Void a refund',
  description:
    'Takes a refund back that was recorded by mistake: its amount is paid on the invoice again, at most what is due on it ' +
    '(`invoice_overpaid`). Its line of the bank account may not be reconciled. Posts the mirror of its entry, dated `date` or today ' +
    'in the company’s time zone; the two lines of the bank account match each other. Where something is dated later that makes ' +
    'more due, the amount is also at most what was due until then: `as_of_conflict` names the first day on which less was due. ' +
    'The refund keeps its number.',
  method: 'POST',
  path: '/api/refunds/:refundId/void',
  params: z.strictObject({ refundId: id() }),
  body: z.strictObject({ reason: description(), date: date().optional() }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 200,
  resource: refundResource,
  event: 'refund.voided',
  effects: {
    posts: 'always',
    entry: 'the mirror of what the refund posted: Dr 1000, or the payment’s bank account · Cr 1100',
    dated: '`date`',
  },
  rejections: {
    refund_not_found: { status: 404, title: 'There is no such refund' },
    already_voided: ALREADY_VOIDED,
    line_reconciled: LINE_RECONCILED,
    invoice_overpaid: { status: 409, title: 'Less is due on the invoice than would be paid again' },
    date_before_original: DATE_BEFORE_ORIGINAL,
    as_of_conflict: { ...AS_OF_CONFLICT, about: { in: 'body', pointer: '/date' } },
    period_closed: PERIOD_CLOSED,
    date_too_late: { ...DATE_TOO_LATE, about: { in: 'body', pointer: '/date' } },
  },
  constraints: {
    period_closed: 'period_closed',
    date_too_late: 'date_too_late',
    as_of_conflict: 'as_of_conflict',
    // Reconciling takes the line without the refund.
    bank_matches_line_once: 'line_reconciled',
  },
  examples: [
    {
      name: 'void-refund',
      summary: 'A refund that was never paid out',
      params: { refundId: DEMO.voidableRefundId },
      body: { reason: 'The customer keeps the credit', date: '2026-03-16' },
    },
  ],
  approvalAmount: amountAt('amount'),
  summarize: ({ params }) => `voidRefund ${params.refundId}`,

  async write(tx, { params: { refundId }, body }, context) {
    const { companyId } = context;
    const claim = await lockClaimOf(tx, { companyId, refundId, date: body.date });
    const [refund] = await tx.query<RefundRow & { today: string; is_reconciled: boolean }>(
      `SELECT ${REFUND_COLUMNS}, company_today($1) AS today, ${isReconciled('r.journal_entry_id')} AS is_reconciled
       FROM refunds r JOIN payments p ON p.company_id = r.company_id AND p.id = r.payment_id
       WHERE r.company_id = $1 AND r.id = $2`,
      [companyId, refundId],
    );
    if (claim === undefined || refund === undefined) {
      throw context.reject('refund_not_found', `There is no refund ${refundId}.`, '/refundId', 'path');
    }
    const { currency, amount_minor: amountMinor, journal_entry_id: entryId } = refund;
    if (refund.voided_on !== null) {
      throw context.reject('already_voided', `It was voided on ${refund.voided_on}.`, '/refundId', 'path');
    }
    if (refund.is_reconciled) {
      throw context.reject('line_reconciled', 'Unreconcile the bank transaction first.', '/refundId', 'path');
    }
    if (amountMinor > claim.due_minor) {
      const due = formatAmount(claim.due_minor, currency);
      throw context.reject(
        'invoice_overpaid',
        `${due} is due on the invoice, which is ${claim.status}.`,
        '/refundId',
        'path',
      );
    }
    const voidedOn = correctionDate(
      { requested: body.date, today: refund.today, originalDate: refund.refunded_on },
      context,
    );
    const conflict = firstConflict(claim, { date: voidedOn, taken: amountMinor });
    if (conflict !== undefined) {
      const due = formatAmount(conflict.left, currency);
      throw context.reject('as_of_conflict', `${due} is due on the invoice as of ${conflict.day}.`, '/date');
    }
    const mirrorId = await postMirror(
      tx,
      { entryId, date: voidedOn, description: `Refund ${refund.id} voided` },
      context,
    );
    await matchMirror(tx, [entryId, mirrorId], context);
    await tx.query(
      `SELECT record_refund_void(p_company => $1, p_refund => $2, p_date => $3, p_reason => $4, p_entry => $5)`,
      [companyId, refund.id, voidedOn, body.reason, mirrorId],
    );
    return { resourceId: refund.id, body: toRefund({ ...refund, voided_on: voidedOn, void_reason: body.reason }) };
  },
});

/** Locks the invoice of a refund. Which one that is never changes, so it is read before. */
async function lockClaimOf(
  tx: Tx,
  {
    companyId,
    refundId,
    date: day,
  }: { readonly companyId: string; readonly refundId: string; readonly date: string | undefined },
): Promise<LockedClaim | undefined> {
  const [refund] = await tx.query<{ invoice_id: string }>(
    `SELECT p.invoice_id FROM refunds r JOIN payments p ON p.company_id = r.company_id AND p.id = r.payment_id
     WHERE r.company_id = $1 AND r.id = $2`,
    [companyId, refundId],
  );
  if (refund === undefined) return undefined;
  return (await lockClaims(tx, companyId, [refund.invoice_id], [day])).get(refund.invoice_id);
}
