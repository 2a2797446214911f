import { z } from 'zod';
import { formatAmount } from '../currencies.ts';
import { DEMO } from '../demo.ts';
import { date, description, id } from '../fields.ts';
import { correctionDate, DATE_BEFORE_ORIGINAL } from '../ledger/correction-date.ts';
import { AS_OF_CONFLICT, firstConflict, lockClaims } from '../ledger/due-by-day.ts';
import { DATE_TOO_LATE, PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { postMirror } from '../ledger/post-mirror.ts';
import { defineOperation } from '../operation.ts';
import {
  INVOICE_COLUMNS,
  type InvoiceRow,
  invoiceResource,
  readInvoiceLines,
  toInvoice,
} from '../resources/invoice.ts';

export const voidInvoice = defineOperation({
  name: 'voidInvoice',
  type: 'financial',
  summary: 'Void an invoice',
  description:
    'Cancels a finalized invoice as a whole. It must have no payments (refund or void them first), no credit notes (void them first) and ' +
    'nothing written off (recover it first). Posts the mirror ' +
    'of its entry, dated `date` or today in the company’s time zone, and not before the refund of the last payment: as of no day, ' +
    'a void invoice has been paid (`as_of_conflict`). The invoice keeps its number.',
  method: 'POST',
  path: '/api/invoices/:invoiceId/void',
  params: z.strictObject({ invoiceId: id() }),
  body: z.strictObject({ reason: description(), date: date().optional() }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 200,
  resource: invoiceResource,
  event: 'invoice.voided',
  effects: {
    posts: 'always',
    entry: 'the mirror of what finalizing posted: Cr 1100 · Dr 4000 · Dr 2100',
    dated: '`date`',
  },
  rejections: {
    invoice_not_found: { status: 404, title: 'There is no such invoice' },
    invoice_not_voidable: { status: 409, title: 'The invoice cannot be voided' },
    date_before_original: DATE_BEFORE_ORIGINAL,
    as_of_conflict: { ...AS_OF_CONFLICT, about: { in: 'body', pointer: '/date' } },
    period_closed: PERIOD_CLOSED,
    date_too_late: { ...DATE_TOO_LATE, about: { in: 'body', pointer: '/date' } },
  },
  constraints: {
    period_closed: 'period_closed',
    date_too_late: 'date_too_late',
    as_of_conflict: 'as_of_conflict',
  },
  examples: [
    {
      name: 'void',
      summary: 'An invoice that should not have been sent',
      params: { invoiceId: DEMO.voidableInvoiceId },
      body: { reason: 'Sent to the wrong customer', date: '2026-03-12' },
    },
  ],
  summarize: ({ params }) => `voidInvoice ${params.invoiceId}`,

  async write(tx, { params, body }, context) {
    // Nothing is read by the statement that waits for the lock: its snapshot may be older than what it has waited for.
    const [claims, [invoice]] = await Promise.all([
      lockClaims(tx, context.companyId, [params.invoiceId], [body.date]),
      tx.query<InvoiceRow & { today: string }>(
        `SELECT ${INVOICE_COLUMNS}, company_today($1) AS today FROM invoices WHERE company_id = $1 AND id = $2`,
        [context.companyId, params.invoiceId],
      ),
    ]);
    const claim = claims.get(params.invoiceId);
    if (claim === undefined || invoice === undefined) {
      throw context.reject('invoice_not_found', `There is no invoice ${params.invoiceId}.`, '/invoiceId', 'path');
    }
    const entryId = invoice.journal_entry_id;
    if (invoice.status !== 'finalized' || invoice.written_off_minor > 0n || entryId === null) {
      throw context.reject('invoice_not_voidable', whyNotVoidable(invoice), '/invoiceId', 'path');
    }
    const voidedOn = correctionDate(
      { requested: body.date, today: invoice.today, originalDate: invoice.issue_date },
      context,
    );
    // All of it is due now, so less is due only as of a day between a payment and its refund.
    const conflict = firstConflict(claim, { date: voidedOn, taken: invoice.total_minor });
    if (conflict !== undefined) {
      const paid = formatAmount(invoice.total_minor - conflict.left, invoice.currency);
      throw context.reject('as_of_conflict', `${paid} of the invoice is paid as of ${conflict.day}.`, '/date');
    }
    await postMirror(tx, { entryId, date: voidedOn, description: `Invoice ${invoice.id} voided` }, context);
    const [row] = await tx.query<InvoiceRow>(
      `UPDATE invoices SET voided_on = $3, void_reason = $4
       WHERE company_id = $1 AND id = $2 RETURNING ${INVOICE_COLUMNS}`,
      [context.companyId, invoice.id, voidedOn, body.reason],
    );
    if (row === undefined) throw new Error('Bug! The locked invoice does not exist');
    return { resourceId: row.id, body: toInvoice(row, (await readInvoiceLines(tx, [row.id])).get(row.id) ?? []) };
  },
});

/** Names one reason, even if there are several. */
function whyNotVoidable({
  status,
  paid_minor: paidMinor,
  credited_minor: creditedMinor,
  written_off_minor: writtenOffMinor,
  currency,
}: InvoiceRow): string {
  if (status === 'draft') return 'The invoice is a draft: nothing has been posted.';
  if (status === 'discarded') return 'The invoice is a draft that was discarded: nothing has been posted.';
  if (status === 'void') return 'The invoice is already void.';
  if (paidMinor > 0n)
    return `${formatAmount(paidMinor, currency)} has been paid on the invoice: refund it, or void the payments, first.`;
  return creditedMinor > 0n
    ? `${formatAmount(creditedMinor, currency)} of the invoice has been credited: void the credit notes first, or credit the rest.`
    : `${formatAmount(writtenOffMinor, currency)} of the invoice has been written off: recover it first.`;
}
