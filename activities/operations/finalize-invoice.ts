import { z } from 'zod';
import type { Tx } from '../database.ts';
import { DEMO } from '../demo.ts';
import { date, id } from '../fields.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';
import { type EntryLine, PERIOD_CLOSED, postEntry } from '../ledger/post-entry.ts';
import { defineOperation } from '../operation.ts';
import {
  INVOICE_COLUMNS,
  type InvoiceLineRow,
  type InvoiceRow,
  invoiceResource,
  readInvoiceLines,
  toInvoice,
} from '../resources/invoice.ts';

export const finalizeInvoice = defineOperation({
  name: 'finalizeInvoice',
  type: 'financial',
  summary: 'Finalize a draft invoice',
  description:
    'Gives the draft the company’s next number, without gaps. Posts debit accounts receivable, credit revenue per account and ' +
    'sales tax payable. The entry is dated the issue date: the draft’s, or `issueDate`.',
  method: 'POST',
  path: '/api/invoices/:invoiceId/finalize',
  params: z.strictObject({ invoiceId: id() }),
  body: z.strictObject({ issueDate: date().optional() }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant', 'manager'],
  successStatus: 200,
  resource: invoiceResource,
  event: 'invoice.finalized',
  effects: {
    posts: 'always',
    entry: 'Dr 1100 total · Cr 4000, or each line’s account, net · Cr 2100 tax',
    dated: 'the issue date',
  },
  rejections: {
    invoice_not_found: { status: 404, title: 'There is no such invoice' },
    invoice_not_draft: { status: 409, title: 'The invoice is no longer a draft' },
    period_closed: PERIOD_CLOSED,
    due_before_issue: { status: 422, title: 'The due date is before the issue date', nextAction: 'fix_request' },
  },
  constraints: { period_closed: 'period_closed', invoices_due_on_or_after_issue: 'due_before_issue' },
  examples: [
    {
      name: 'finalize',
      summary: 'Finalize the draft as it is',
      params: { invoiceId: DEMO.draftInvoiceId },
      body: {},
    },
  ],
  summarize: ({ params }) => `finalizeInvoice ${params.invoiceId}`,

  async write(tx, { params, body }, context) {
    const [draft] = await tx.query<InvoiceRow>(`SELECT ${INVOICE_COLUMNS} FROM lock_invoice($1, $2)`, [
      context.companyId,
      params.invoiceId,
    ]);
    if (draft === undefined) {
      throw context.reject('invoice_not_found', `There is no invoice ${params.invoiceId}.`, '/invoiceId', 'path');
    }
    if (draft.status !== 'draft') {
      throw context.reject('invoice_not_draft', `The invoice is ${draft.status}.`, '/invoiceId', 'path');
    }
    const lines = await readInvoiceLines(tx, [draft.id]);
    const issueDate = body.issueDate ?? draft.issue_date;
    const entryId = await postEntry(
      tx,
      { date: issueDate, description: `Invoice ${draft.id} finalized`, lines: entryLines(draft, lines) },
      context,
    );
    const row = await numberInvoice(tx, draft.id, issueDate, entryId, context.companyId);
    return { resourceId: row.id, body: toInvoice(row, lines) };
  },
});

/** Dr 1100 total · Cr each income account its net · Cr 2100 tax. */
function entryLines(invoice: InvoiceRow, lines: readonly InvoiceLineRow[]): EntryLine[] {
  const { currency } = invoice;
  const netByAccount = new Map<string, bigint>();
  for (const line of lines) {
    netByAccount.set(line.account_code, (netByAccount.get(line.account_code) ?? 0n) + line.net_minor);
  }
  return [
    { account: ACCOUNTS.receivable, amountMinor: invoice.total_minor, currency },
    ...[...netByAccount].map(([account, netMinor]) => ({ account, amountMinor: -netMinor, currency })),
    { account: ACCOUNTS.salesTax, amountMinor: -invoice.tax_minor, currency },
  ];
}

/** Takes the number last, because the counter's row lock makes all other finalizations of the company wait. */
async function numberInvoice(tx: Tx, invoiceId: string, issueDate: string, entryId: string, companyId: string) {
  const [row] = await tx.query<InvoiceRow>(
    `UPDATE invoices SET number = next_number($1, 'invoice'), issue_date = $3, journal_entry_id = $4
     WHERE company_id = $1 AND id = $2 RETURNING ${INVOICE_COLUMNS}`,
    [companyId, invoiceId, issueDate, entryId],
  );
  if (row === undefined) throw new Error('Bug! The locked invoice does not exist');
  return row;
}
