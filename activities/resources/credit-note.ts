import { z } from 'zod';
import type { Tx } from '../database.ts';
import { toWireAmount } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { documentNumber } from './document-number.ts';
import { calendarDate, currencyCode, instant, money, numberOf, resourceId } from './members.ts';

/** The API's form of a credit note and its columns. */
export const CREDIT_NOTE_COLUMNS =
  'id, number, invoice_id, currency, credited_on, reason, net_minor, tax_minor, total_minor, voided_on, void_reason, journal_entry_id, created_at';

export type CreditNoteRow = {
  id: string;
  /** Null in the transaction that makes it, which takes the number last. */
  number: number | null;
  invoice_id: string;
  currency: string;
  credited_on: string;
  reason: string;
  net_minor: bigint;
  tax_minor: bigint;
  total_minor: bigint;
  voided_on: string | null;
  void_reason: string | null;
  journal_entry_id: string;
  created_at: string;
};

export type CreditNoteLine = {
  readonly lineNumber: number;
  readonly netMinor: bigint;
  readonly taxMinor: bigint;
};

export function toCreditNote(row: CreditNoteRow, lines: readonly CreditNoteLine[]): z.output<typeof creditNoteSchema> {
  return {
    id: row.id,
    number: documentNumber('credit_note', row.number),
    invoiceId: row.invoice_id,
    currency: row.currency,
    date: row.credited_on,
    reason: row.reason,
    lines: lines.map(({ lineNumber, netMinor, taxMinor }) => ({
      lineNumber,
      net: toWireAmount(netMinor),
      tax: toWireAmount(taxMinor),
    })),
    net: toWireAmount(row.net_minor),
    tax: toWireAmount(row.tax_minor),
    total: toWireAmount(row.total_minor),
    voidedOn: row.voided_on,
    voidReason: row.void_reason,
    journalEntryId: row.journal_entry_id,
    createdAt: row.created_at,
  };
}

/** Reads credit notes of the current company with their lines, sorted by number. */
export async function withCreditNoteLines(tx: Tx, rows: readonly CreditNoteRow[]) {
  const lines = await tx.query<CreditNoteLineRow>(
    `SELECT credit_note_id, line_number, net_minor, tax_minor FROM credit_note_lines
     WHERE company_id = current_company() AND credit_note_id = ANY ($1::uuid[])
     ORDER BY credit_note_id, line_number`,
    [rows.map(({ id }) => id)],
  );
  const linesOf = new Map<string, CreditNoteLine[]>(rows.map(({ id }) => [id, []]));
  for (const { credit_note_id: noteId, line_number: lineNumber, net_minor: netMinor, tax_minor: taxMinor } of lines) {
    linesOf.get(noteId)?.push({ lineNumber, netMinor, taxMinor });
  }
  return rows.map((row) => toCreditNote(row, linesOf.get(row.id) ?? []));
}

type CreditNoteLineRow = { credit_note_id: string; line_number: number; net_minor: bigint; tax_minor: bigint };

export const creditNoteSchema = z.object({
  id: resourceId(),
  number: numberOf('CRN-000001'),
  invoiceId: resourceId(),
  currency: currencyCode(),
  date: calendarDate(),
  reason: z.string(),
  lines: z.array(z.object({ lineNumber: z.int().min(1), net: money(), tax: money() })),
  net: money(),
  tax: money(),
  total: money(),
  voidedOn: calendarDate().nullable(),
  voidReason: z.string().nullable(),
  journalEntryId: resourceId(),
  createdAt: instant(),
});

export const creditNoteResource: ResourceType = {
  type: 'creditNote',
  reads: '/api/credit-notes',
  schema: creditNoteSchema,
};
