import { z } from 'zod';
import type { Tx } from '../../activities/database.ts';
import { currency, id } from '../../activities/fields.ts';
import { INVOICE_STATUSES } from '../../activities/invoice-status.ts';
import { INVOICE_COLUMNS, type InvoiceRow, readInvoiceLines, toInvoice } from '../../activities/resources/invoice.ts';
import { notFound } from '../http/problems.ts';
import { readInvoiceHistory } from './invoice-history.ts';
import { type List, readPage } from './page.ts';
import { dateRange, pageQuery } from './query.ts';
import { defineRead } from './read.ts';

const INVOICES: List = {
  columns: INVOICE_COLUMNS,
  from: 'FROM invoices',
  where: 'company_id = current_company()',
  order: [
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'id', type: 'uuid' },
  ],
};

export const listInvoices = defineRead({
  path: '/api/invoices',
  summary: 'List invoices; from and to are issue dates',
  group: 'sales',
  answers: { kind: 'list', resource: 'invoice' },
  params: z.strictObject({}),
  query: z.strictObject({
    ...pageQuery,
    ...dateRange,
    customerId: id().optional(),
    status: z.enum(INVOICE_STATUSES).optional(),
    currency: currency().optional(),
  }),
  async read(tx, { query: { limit, cursor, ...filters } }, { companyId, cursors }) {
    const { rows, nextCursor } = await readPage<InvoiceRow>(
      tx,
      INVOICES,
      [
        ['customer_id = ?', filters.customerId],
        ['status = ?', filters.status],
        ['currency = ?', filters.currency],
        ['issue_date >= ?', filters.from],
        ['issue_date <= ?', filters.to],
      ],
      { path: this.path, companyId, cursors, filters, limit, cursor },
    );
    return { items: await withLines(tx, rows), nextCursor };
  },
});

/** The invoice and everything that happened to it. */
export const readInvoice = defineRead({
  path: '/api/invoices/:invoiceId',
  summary: 'Read an invoice with its payments, refunds, credit notes and entries',
  group: 'sales',
  answers: { kind: 'one', resource: 'invoice' },
  params: z.strictObject({ invoiceId: id() }),
  query: z.strictObject({}),
  async read(tx, { params: { invoiceId } }) {
    const rows = await tx.query<InvoiceRow>(
      `SELECT ${INVOICE_COLUMNS} FROM invoices WHERE company_id = current_company() AND id = $1`,
      [invoiceId],
    );
    const [invoice] = await withLines(tx, rows);
    if (invoice === undefined) throw notFound('invoice', `There is no invoice ${invoiceId}.`);
    return { ...invoice, ...(await readInvoiceHistory(tx, invoiceId)) };
  },
});

async function withLines(tx: Tx, rows: readonly InvoiceRow[]) {
  const linesOf = await readInvoiceLines(
    tx,
    rows.map(({ id: invoiceId }) => invoiceId),
  );
  return rows.map((row) => toInvoice(row, linesOf.get(row.id) ?? []));
}
