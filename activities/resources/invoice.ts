import { z } from 'zod';
import type { Tx } from '../database.ts';
import { toWireAmount } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { documentNumber } from './document-number.ts';
import { calendarDate, currencyCode, instant, money, notes, resourceId } from './members.ts';

/** The API's form of an invoice and its columns. */
export const INVOICE_COLUMNS = `id, number, customer_id, status, currency, issue_date, due_date, memo, subtotal_minor,
  tax_minor, total_minor, paid_minor, credited_minor, due_minor, voided_on, void_reason, journal_entry_id,
  metadata, created_at`;

export type InvoiceRow = {
  id: string;
  number: number | null;
  customer_id: string;
  status: 'draft' | 'finalized' | 'partially_paid' | 'paid' | 'void';
  currency: string;
  issue_date: string;
  due_date: string;
  memo: string | null;
  subtotal_minor: bigint;
  tax_minor: bigint;
  total_minor: bigint;
  paid_minor: bigint;
  credited_minor: bigint;
  due_minor: bigint;
  voided_on: string | null;
  void_reason: string | null;
  journal_entry_id: string | null;
  metadata: Record<string, string>;
  created_at: string;
};

export type InvoiceLineRow = {
  invoice_id: string;
  line_number: number;
  description: string;
  quantity: string;
  unit_price_minor: bigint;
  tax_rate_basis_points: number;
  account_code: string;
  net_minor: bigint;
  tax_minor: bigint;
};

export function toInvoice(row: InvoiceRow, lines: readonly InvoiceLineRow[]): z.output<typeof invoiceSchema> {
  return {
    id: row.id,
    number: row.number === null ? null : documentNumber('invoice', row.number),
    customerId: row.customer_id,
    status: row.status,
    currency: row.currency,
    issueDate: row.issue_date,
    dueDate: row.due_date,
    memo: row.memo,
    lines: lines.map((line) => ({
      lineNumber: line.line_number,
      description: line.description,
      quantity: trimDecimal(line.quantity),
      unitPrice: toWireAmount(line.unit_price_minor),
      taxRateBasisPoints: line.tax_rate_basis_points,
      accountCode: line.account_code,
      net: toWireAmount(line.net_minor),
      tax: toWireAmount(line.tax_minor),
    })),
    subtotal: toWireAmount(row.subtotal_minor),
    tax: toWireAmount(row.tax_minor),
    total: toWireAmount(row.total_minor),
    amountPaid: toWireAmount(row.paid_minor),
    amountCredited: toWireAmount(row.credited_minor),
    amountDue: toWireAmount(row.due_minor),
    voidedOn: row.voided_on,
    voidReason: row.void_reason,
    journalEntryId: row.journal_entry_id,
    metadata: row.metadata,
    createdAt: row.created_at,
  };
}

/** Reads the lines of invoices of the current company: by invoice, in the order of their numbers. */
export async function readInvoiceLines(tx: Tx, invoiceIds: readonly string[]): Promise<LinesOfInvoices> {
  const lines = await tx.query<InvoiceLineRow>(
    `SELECT l.invoice_id, l.line_number, l.description, l.quantity, l.unit_price_minor, l.tax_rate_basis_points,
       a.code AS account_code, l.net_minor, l.tax_minor
     FROM invoice_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
     WHERE l.company_id = current_company() AND l.invoice_id = ANY ($1::uuid[])
     ORDER BY l.invoice_id, l.line_number`,
    [invoiceIds],
  );
  const linesOf = new Map<string, InvoiceLineRow[]>(invoiceIds.map((invoiceId) => [invoiceId, []]));
  for (const line of lines) linesOf.get(line.invoice_id)?.push(line);
  return linesOf;
}

export type LinesOfInvoices = ReadonlyMap<string, readonly InvoiceLineRow[]>;

/** `1.5000` is `1.5`; `3.0000` is `3`. */
function trimDecimal(decimal: string): string {
  return decimal.includes('.') ? decimal.replace(/\.?0+$/, '') : decimal;
}

export const invoiceSchema = z.object({
  id: resourceId(),
  number: z.string().nullable().meta({ description: 'Gapless in the company; null for a draft' }),
  customerId: resourceId(),
  status: z.enum(['draft', 'finalized', 'partially_paid', 'paid', 'void']),
  currency: currencyCode(),
  issueDate: calendarDate(),
  dueDate: calendarDate(),
  memo: z.string().nullable(),
  lines: z.array(
    z.object({
      lineNumber: z.int().min(1),
      description: z.string(),
      quantity: z.string().meta({ description: 'A decimal string with at most 4 places' }),
      unitPrice: money(),
      taxRateBasisPoints: z.int().min(0).max(10_000),
      accountCode: z.string(),
      net: money(),
      tax: money(),
    }),
  ),
  subtotal: money(),
  tax: money(),
  total: money(),
  amountPaid: money(),
  amountCredited: money(),
  amountDue: money(),
  voidedOn: calendarDate().nullable(),
  voidReason: z.string().nullable(),
  journalEntryId: resourceId().nullable(),
  metadata: notes(),
  createdAt: instant(),
  warnings: z
    .array(z.object({ code: z.string() }))
    .optional()
    .meta({
      description:
        'Only in the answer that gives the number, and only if there is one: `number_out_of_date_order` says that an invoice ' +
        'with a lower number is dated later',
    }),
});

export const invoiceResource: ResourceType = { type: 'invoice', reads: '/api/invoices', schema: invoiceSchema };
