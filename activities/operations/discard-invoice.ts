import { z } from 'zod';
import { DEMO } from '../demo.ts';
import { description, id } from '../fields.ts';
import { defineOperation } from '../operation.ts';
import {
  INVOICE_COLUMNS,
  type InvoiceRow,
  invoiceResource,
  readInvoiceLines,
  toInvoice,
} from '../resources/invoice.ts';

export const discardInvoice = defineOperation({
  name: 'discardInvoice',
  type: 'financial',
  summary: 'Discard a draft invoice',
  description:
    'For a draft that will never be finalized. It stays readable with the status `discarded`, gets no number, and nothing is posted. ' +
    'That cannot be undone: make another draft instead. A finalized invoice is voided or credited.',
  method: 'POST',
  path: '/api/invoices/:invoiceId/discard',
  params: z.strictObject({ invoiceId: id() }),
  body: z.strictObject({ reason: description().optional() }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant', 'manager'],
  successStatus: 200,
  resource: invoiceResource,
  event: 'invoice.discarded',
  effects: { posts: 'never' },
  rejections: {
    invoice_not_found: { status: 404, title: 'There is no such invoice' },
    invoice_not_draft: { status: 409, title: 'The invoice is no longer a draft' },
  },
  constraints: {},
  examples: [
    {
      name: 'discard',
      summary: 'A draft that was made twice',
      params: { invoiceId: DEMO.discardableInvoiceId },
      body: { reason: 'Made twice' },
    },
  ],
  summarize: ({ params }) => `discardInvoice ${params.invoiceId}`,

  async write(tx, { params, body }, context) {
    const [invoice] = await tx.query<Pick<InvoiceRow, 'id' | 'status'>>('SELECT id, status FROM lock_invoice($1, $2)', [
      context.companyId,
      params.invoiceId,
    ]);
    if (invoice === undefined) {
      throw context.reject('invoice_not_found', `There is no invoice ${params.invoiceId}.`, '/invoiceId', 'path');
    }
    if (invoice.status !== 'draft') {
      throw context.reject('invoice_not_draft', `The invoice is ${invoice.status}.`, '/invoiceId', 'path');
    }
    const [row] = await tx.query<InvoiceRow>(
      `UPDATE invoices SET discarded_on = company_today($1), discard_reason = $3
       WHERE company_id = $1 AND id = $2 RETURNING ${INVOICE_COLUMNS}`,
      [context.companyId, invoice.id, body.reason],
    );
    if (row === undefined) throw new Error('Bug! The locked invoice does not exist');
    return { resourceId: row.id, body: toInvoice(row, (await readInvoiceLines(tx, [row.id])).get(row.id) ?? []) };
  },
});
