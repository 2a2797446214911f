import { z } from 'zod';
import { amountMoved } from '../approvals/amounts.ts';
import { formatAmount } from '../currencies.ts';
import { DEMO } from '../demo.ts';
import { date, description, id } from '../fields.ts';
import { correctionDate, DATE_BEFORE_ORIGINAL } from '../ledger/correction-date.ts';
import { ABOVE_TOTAL, firstDayAboveTotal, lockClaims } from '../ledger/due-by-day.ts';
import { DATE_TOO_LATE, PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { postMirror } from '../ledger/post-mirror.ts';
import { defineOperation } from '../operation.ts';
import { invoiceResource, readInvoiceAnswer } from '../resources/invoice.ts';

export const recoverWriteOff = defineOperation({
  name: 'recoverWriteOff',
  type: 'financial',
  summary: 'Recover what was written off last',
  description:
    'Takes back the latest write-off of the invoice that is not recovered yet, as a whole: the amount is due again, and can be ' +
    'paid. Posts the mirror of its entry, its tax share included, dated `date` or today in the company’s time zone, and not before the ' +
    'write-off.',
  method: 'POST',
  path: '/api/invoices/:invoiceId/recover-write-off',
  params: z.strictObject({ invoiceId: id() }),
  body: z.strictObject({ reason: description(), date: date().optional() }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 200,
  resource: invoiceResource,
  event: 'invoice.write_off_recovered',
  effects: {
    posts: 'always',
    entry: 'the mirror of what its latest write-off posted that is not recovered yet',
    dated: '`date`',
  },
  rejections: {
    invoice_not_found: { status: 404, title: 'There is no such invoice' },
    nothing_written_off: { status: 409, title: 'Nothing of the invoice is written off' },
    date_before_original: { ...DATE_BEFORE_ORIGINAL, about: { in: 'body', pointer: '/date' } },
    as_of_conflict: ABOVE_TOTAL,
    period_closed: PERIOD_CLOSED,
    date_too_late: { ...DATE_TOO_LATE, about: { in: 'body', pointer: '/date' } },
  },
  constraints: {
    as_of_conflict: 'as_of_conflict',
    period_closed: 'period_closed',
    date_too_late: 'date_too_late',
  },
  examples: [
    {
      name: 'recover',
      summary: 'The customer pays after all',
      params: { invoiceId: DEMO.writtenOffInvoiceId },
      body: { reason: 'Paid by the administrator', date: '2026-03-20' },
    },
  ],
  approvalAmount: amountMoved,
  summarize: ({ params }) => `recoverWriteOff of invoice ${params.invoiceId}`,

  async write(tx, { params, body }, context) {
    const { companyId } = context;
    const claims = await lockClaims(tx, companyId, [params.invoiceId], [body.date]);
    const claim = claims.get(params.invoiceId);
    if (claim === undefined) {
      throw context.reject('invoice_not_found', `There is no invoice ${params.invoiceId}.`, '/invoiceId', 'path');
    }
    // A later statement than the lock, so that it sees what earlier holders of it have written off and recovered.
    const [latest] = await tx.query<LatestWriteOff>(
      `SELECT id, amount_minor, written_off_on, journal_entry_id, company_today($1) AS today FROM write_offs
       WHERE company_id = $1 AND invoice_id = $2 AND recovered_on IS NULL ORDER BY position DESC LIMIT 1`,
      [companyId, claim.id],
    );
    if (latest === undefined) {
      throw context.reject('nothing_written_off', `The invoice is ${claim.status}.`, '/invoiceId', 'path');
    }
    const recoveredOn = correctionDate(
      { requested: body.date, today: latest.today, originalDate: latest.written_off_on },
      context,
    );
    const raised = { invoiceId: claim.id, date: recoveredOn, raised: latest.amount_minor };
    const conflict = await firstDayAboveTotal(tx, companyId, raised);
    if (conflict !== undefined) {
      const due = formatAmount(conflict.due, claim.currency);
      throw context.reject('as_of_conflict', `${due} is due on the invoice as of ${conflict.day} already.`, '/date');
    }
    const mirror = {
      entryId: latest.journal_entry_id,
      date: recoveredOn,
      description: `Write-off ${latest.id} of invoice ${claim.id} recovered`,
    };
    const mirrorId = await postMirror(tx, mirror, context);
    await tx.query(
      'SELECT record_recovery(p_company => $1, p_write_off => $2, p_date => $3, p_reason => $4, p_entry => $5)',
      [companyId, latest.id, recoveredOn, body.reason, mirrorId],
    );
    return {
      resourceId: claim.id,
      body: await readInvoiceAnswer(tx, claim.id),
      moved: { amount: latest.amount_minor, currency: claim.currency },
      eventPayload: { amount: Number(latest.amount_minor), writeOffId: latest.id },
    };
  },
});

type LatestWriteOff = {
  readonly id: string;
  readonly amount_minor: bigint;
  readonly written_off_on: string;
  readonly journal_entry_id: string;
  readonly today: string;
};
