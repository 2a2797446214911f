import { z } from 'zod';
import type { Tx } from '../database.ts';
import { INVOICE_STATUSES, type InvoiceStatus } from '../invoice-status.ts';
import { formatPercent, MAX_AMOUNT, TAX_ROUNDINGS, type TaxRounding, toWireAmount } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { documentNumber } from './document-number.ts';
import { calendarDate, currencyCode, instant, money, notes, resourceId } from './members.ts';

/** The API's form of an invoice and its columns. */
export const INVOICE_COLUMNS = `id, number, customer_id, status, currency, issue_date, due_date, memo, subtotal_minor,
  tax_minor, total_minor, tax_rounding, paid_minor, credited_minor, written_off_minor, due_minor, voided_on, void_reason,
  discarded_on, discard_reason, journal_entry_id, metadata, created_at`;

export type InvoiceRow = {
  id: string;
  number: number | null;
  customer_id: string;
  status: InvoiceStatus;
  currency: string;
  issue_date: string;
  due_date: string;
  memo: string | null;
  subtotal_minor: bigint;
  tax_minor: bigint;
  total_minor: bigint;
  tax_rounding: TaxRounding;
  paid_minor: bigint;
  credited_minor: bigint;
  written_off_minor: bigint;
  due_minor: bigint;
  voided_on: string | null;
  void_reason: string | null;
  discarded_on: string | null;
  discard_reason: string | null;
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
  /** Thousandths of a percent; null unless the discount is given in percent. */
  discount_thousandths: number | null;
  discount_minor: bigint;
  /** Thousandths of a percent. */
  tax_rate_thousandths: number;
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
      discount: toDiscount(line),
      taxRate: formatPercent(line.tax_rate_thousandths),
      taxRateBasisPoints: line.tax_rate_thousandths % 10 === 0 ? line.tax_rate_thousandths / 10 : null,
      accountCode: line.account_code,
      net: toWireAmount(line.net_minor),
      tax: toWireAmount(line.tax_minor),
    })),
    subtotal: toWireAmount(row.subtotal_minor),
    tax: toWireAmount(row.tax_minor),
    total: toWireAmount(row.total_minor),
    taxRounding: row.tax_rounding,
    amountPaid: toWireAmount(row.paid_minor),
    amountCredited: toWireAmount(row.credited_minor),
    amountWrittenOff: toWireAmount(row.written_off_minor),
    amountDue: toWireAmount(row.due_minor),
    voidedOn: row.voided_on,
    voidReason: row.void_reason,
    discardedOn: row.discarded_on,
    discardReason: row.discard_reason,
    journalEntryId: row.journal_entry_id,
    metadata: row.metadata,
    createdAt: row.created_at,
  };
}

/** Reads the lines of invoices of the current company: by invoice, in the order of their numbers. */
export async function readInvoiceLines(tx: Tx, invoiceIds: readonly string[]): Promise<LinesOfInvoices> {
  const lines = await tx.query<InvoiceLineRow>(
    `SELECT l.invoice_id, l.line_number, l.description, l.quantity, l.unit_price_minor, l.discount_thousandths,
       l.discount_minor, l.tax_rate_thousandths, a.code AS account_code, l.net_minor, l.tax_minor
     FROM invoice_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
     WHERE l.company_id = current_company() AND l.invoice_id = ANY ($1::uuid[])
     ORDER BY l.invoice_id, l.line_number`,
    [invoiceIds],
  );
  const linesOf = new Map<string, InvoiceLineRow[]>(invoiceIds.map((invoiceId) => [invoiceId, []]));
  for (const line of lines) linesOf.get(line.invoice_id)?.push(line);
  return linesOf;
}

/** The answer's form of an invoice that this transaction has changed. */
export async function readInvoiceAnswer(tx: Tx, invoiceId: string): Promise<z.output<typeof invoiceSchema>> {
  const [[row], linesOf] = await Promise.all([
    tx.query<InvoiceRow>(`SELECT ${INVOICE_COLUMNS} FROM invoices WHERE company_id = current_company() AND id = $1`, [
      invoiceId,
    ]),
    readInvoiceLines(tx, [invoiceId]),
  ]);
  if (row === undefined) throw new Error('Bug! The locked invoice does not exist');
  return toInvoice(row, linesOf.get(invoiceId) ?? []);
}

export type LinesOfInvoices = ReadonlyMap<string, readonly InvoiceLineRow[]>;

function toDiscount({ discount_thousandths: thousandths, discount_minor: minor }: InvoiceLineRow) {
  if (thousandths !== null) return { percent: formatPercent(thousandths) };
  return minor === 0n ? null : { amount: toWireAmount(minor) };
}

/** `1.5000` is `1.5`; `3.0000` is `3`. */
function trimDecimal(decimal: string): string {
  return decimal.includes('.') ? decimal.replace(/\.?0+$/, '') : decimal;
}

const signedMoney = () =>
  z
    .int()
    .min(-MAX_AMOUNT)
    .max(MAX_AMOUNT)
    .meta({ description: 'Minor units; negative where a line has a negative unit price' });

export const invoiceSchema = z.object({
  id: resourceId(),
  number: z
    .string()
    .nullable()
    .meta({ description: 'Gapless in the company; null for a draft, also one that was discarded' }),
  customerId: resourceId(),
  status: z.enum(INVOICE_STATUSES),
  currency: currencyCode(),
  issueDate: calendarDate(),
  dueDate: calendarDate(),
  memo: z.string().nullable(),
  lines: z.array(
    z.object({
      lineNumber: z.int().min(1),
      description: z.string(),
      quantity: z.string().meta({ description: 'A decimal string with at most 4 places' }),
      unitPrice: signedMoney(),
      discount: z
        .object({ percent: z.string().optional(), amount: money().optional() })
        .nullable()
        .meta({ description: 'As it was asked for: `percent`, a decimal string, or `amount` in minor units' }),
      taxRate: z.string().meta({ description: 'Percent, the shortest decimal string, such as "8.875"' }),
      taxRateBasisPoints: z
        .int()
        .min(0)
        .max(10_000)
        .nullable()
        .meta({ description: 'Hundredths of a percent; null where `taxRate` is no whole number of them' }),
      accountCode: z.string(),
      net: signedMoney(),
      tax: signedMoney(),
    }),
  ),
  subtotal: money(),
  tax: signedMoney(),
  total: money(),
  taxRounding: z
    .enum(TAX_ROUNDINGS)
    .meta({ description: 'The company’s setting when the draft was made: by line, or once per rate over the invoice' }),
  amountPaid: money(),
  amountCredited: money(),
  amountWrittenOff: money(),
  amountDue: money(),
  voidedOn: calendarDate().nullable(),
  voidReason: z.string().nullable(),
  discardedOn: calendarDate().nullable(),
  discardReason: z.string().nullable(),
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
