import { z } from 'zod';
import { amountMoved } from '../approvals/amounts.ts';
import { formatAmount } from '../currencies.ts';
import { DEMO } from '../demo.ts';
import { amount, date, description, id } from '../fields.ts';
import { neededDate } from '../ledger/correction-date.ts';
import { AS_OF_CONFLICT, firstConflict, lockClaims } from '../ledger/due-by-day.ts';
import { DATE_TOO_LATE, type EntryLine, PERIOD_CLOSED, postEntry } from '../ledger/post-entry.ts';
import { taxShare } from '../ledger/tax-share.ts';
import { defineOperation } from '../operation.ts';
import { invoiceResource, readInvoiceAnswer } from '../resources/invoice.ts';

export const writeOffInvoice = defineOperation({
  name: 'writeOffInvoice',
  type: 'financial',
  summary: 'Write off what a customer will not pay',
  description:
    'Gives up a part of what is due on an invoice, or all of it. Posts debit bad debts, credit accounts receivable. Where the law ' +
    'gives the tax of a bad debt back, `taxRelief` posts its share of the invoice’s tax to sales tax payable instead: half away ' +
    'from zero(tax × all that is written off / total), less the shares before. The entry is dated `date`, or today in the company’s ' +
    'time zone, and not before the issue date. Where something is due again from a later day on, the amount is also at most what is ' +
    'due until then (`as_of_conflict`). An invoice with nothing due after a write-off is `written_off`. When the customer ' +
    'pays all the same, recover the write-off, then record the payment.',
  method: 'POST',
  path: '/api/invoices/:invoiceId/write-off',
  params: z.strictObject({ invoiceId: id() }),
  body: z.strictObject({
    amount: amount(),
    reason: description(),
    date: date().optional(),
    taxRelief: z.boolean().default(false).meta({ description: 'Whether the share of the tax is no longer payable' }),
  }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 200,
  resource: invoiceResource,
  event: 'invoice.written_off',
  effects: {
    posts: 'always',
    entry: 'Dr bad debts (6800) amount, with `taxRelief` less the tax share · Dr 2100 that share · Cr 1100 amount',
    dated: '`date`',
    makes: 'write_offs',
  },
  rejections: {
    invoice_not_found: { status: 404, title: 'There is no such invoice' },
    invoice_not_due: { status: 409, title: 'Nothing is due on the invoice' },
    write_off_exceeds_due: { status: 422, title: 'The amount exceeds what is due', nextAction: 'fix_request' },
    date_before_invoice: {
      status: 422,
      title: 'The write-off is dated before the invoice',
      nextAction: 'fix_request',
      about: { in: 'body', pointer: '/date' },
    },
    as_of_conflict: { ...AS_OF_CONFLICT, about: { in: 'body', pointer: '/date' } },
    period_closed: PERIOD_CLOSED,
    date_too_late: { ...DATE_TOO_LATE, about: { in: 'body', pointer: '/date' } },
  },
  constraints: {
    date_before_invoice: 'date_before_invoice',
    as_of_conflict: 'as_of_conflict',
    period_closed: 'period_closed',
    date_too_late: 'date_too_late',
  },
  examples: [
    {
      name: 'write-off',
      summary: 'The customer is insolvent; the tax is given back',
      params: { invoiceId: DEMO.uncollectibleInvoiceId },
      body: { amount: 20_000, reason: 'Insolvent', date: '2026-03-16', taxRelief: true },
    },
  ],
  approvalAmount: amountMoved,
  summarize: ({ params, body }) => `writeOffInvoice ${body.amount} minor units of invoice ${params.invoiceId}`,

  async write(tx, { params, body }, context) {
    const [claims, [day]] = await Promise.all([
      lockClaims(tx, context.companyId, [params.invoiceId], [body.date]),
      tx.query<{ today: string }>('SELECT company_today($1) AS today', [context.companyId]),
    ]);
    const claim = claims.get(params.invoiceId);
    if (claim === undefined || day === undefined) {
      throw context.reject('invoice_not_found', `There is no invoice ${params.invoiceId}.`, '/invoiceId', 'path');
    }
    const { currency } = claim;
    if (claim.status !== 'finalized' && claim.status !== 'partially_paid') {
      throw context.reject('invoice_not_due', `The invoice is ${claim.status}.`, '/invoiceId', 'path');
    }
    const amountMinor = BigInt(body.amount);
    if (amountMinor > claim.due_minor) {
      const due = formatAmount(claim.due_minor, currency);
      throw context.reject('write_off_exceeds_due', `${due} is due on the invoice.`, '/amount');
    }
    const writtenOffOn = body.date ?? day.today;
    // Dates of the form YYYY-MM-DD compare correctly as text.
    if (writtenOffOn < claim.issue_date) {
      const detail = `The invoice is dated ${claim.issue_date}, which is after ${writtenOffOn}.`;
      throw context.reject('date_before_invoice', detail + neededDate(body.date, claim.issue_date), '/date');
    }
    const conflict = firstConflict(claim, { date: writtenOffOn, taken: amountMinor });
    if (conflict !== undefined) {
      const due = formatAmount(conflict.left, currency);
      throw context.reject('as_of_conflict', `${due} is due on the invoice as of ${conflict.day}.`, '/date');
    }

    const taxMinor = taxShare({
      totalMinor: claim.total_minor,
      taxMinor: claim.tax_minor,
      beforeMinor: claim.written_off_minor,
      amountMinor,
    });
    const reliefMinor = body.taxRelief ? taxMinor : 0n;
    const lines: EntryLine[] = [
      { role: 'bad_debts', amountMinor: amountMinor - reliefMinor, currency },
      { role: 'sales_tax', amountMinor: reliefMinor, currency },
      { role: 'receivable', amountMinor: -amountMinor, currency },
    ];
    const entry = { date: writtenOffOn, description: `Write-off ${context.writeId} of invoice ${claim.id}`, lines };
    const entryId = await postEntry(tx, entry, context);
    await tx.query(
      `SELECT record_write_off(p_company => $1, p_write_off => $2, p_invoice => $3, p_amount => $4, p_tax => $5,
         p_tax_relief => $6, p_date => $7, p_reason => $8, p_entry => $9)`,
      [
        context.companyId,
        context.writeId,
        claim.id,
        amountMinor,
        taxMinor,
        body.taxRelief,
        writtenOffOn,
        body.reason,
        entryId,
      ],
    );
    return {
      resourceId: claim.id,
      body: await readInvoiceAnswer(tx, claim.id),
      moved: { amount: amountMinor, currency },
      eventPayload: { amount: body.amount },
    };
  },
});
