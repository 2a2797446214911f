import { z } from 'zod';
import type { Tx } from '../database.ts';
import { toWireSum } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { calendarDate, currencyCode, instant, moneySum, notes, resourceId } from './members.ts';

/** The API's form of a journal entry and its columns. */
export const ENTRY_COLUMNS =
  'e.id, e.entry_date, e.description, e.operation, e.write_id, e.reverses, e.metadata, e.created_at';

export type EntryRow = {
  id: string;
  entry_date: string;
  description: string;
  operation: string;
  write_id: string;
  reverses: string | null;
  metadata: Record<string, string>;
  created_at: string;
};

export type EntryLineRow = {
  entry_id: string;
  id: string;
  account_code: string;
  amount_minor: bigint;
  currency: string;
  memo: string | null;
};

export function toEntry(row: EntryRow, lines: readonly EntryLineRow[]): z.output<typeof journalEntrySchema> {
  return {
    id: row.id,
    date: row.entry_date,
    description: row.description,
    source: { operation: row.operation, writeId: row.write_id },
    reverses: row.reverses,
    lines: lines.map((line) => ({
      id: line.id,
      accountCode: line.account_code,
      amount: toWireSum(line.amount_minor),
      currency: line.currency,
      memo: line.memo,
    })),
    metadata: row.metadata,
    createdAt: row.created_at,
  };
}

/** Reads the lines of entries of the current company, sorted by entry and number. */
export function readEntryLines(tx: Tx, entryIds: readonly string[]): Promise<EntryLineRow[]> {
  return tx.query<EntryLineRow>(
    `SELECT l.entry_id, l.id, a.code AS account_code, l.amount_minor, l.currency, l.memo
     FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
     WHERE l.company_id = current_company() AND l.entry_id = ANY ($1::uuid[])
     ORDER BY l.entry_id, l.line_number`,
    [entryIds],
  );
}

/** The body of the answer for the entry that this transaction has posted. */
export async function readPostedEntry(tx: Tx, entryId: string): Promise<z.output<typeof journalEntrySchema>> {
  const [row] = await tx.query<EntryRow>(
    `SELECT ${ENTRY_COLUMNS} FROM journal_entries e WHERE e.company_id = current_company() AND e.id = $1`,
    [entryId],
  );
  if (row === undefined) throw new Error('Bug! The posted entry does not exist');
  return toEntry(row, await readEntryLines(tx, [entryId]));
}

export const journalEntrySchema = z.object({
  id: resourceId(),
  date: calendarDate(),
  description: z.string(),
  source: z.object({ operation: z.string(), writeId: resourceId() }),
  reverses: resourceId().nullable(),
  lines: z.array(
    z.object({
      id: resourceId(),
      accountCode: z.string(),
      amount: moneySum(),
      currency: currencyCode(),
      memo: z.string().nullable(),
    }),
  ),
  metadata: notes(),
  createdAt: instant(),
});

export const journalEntryResource: ResourceType = {
  type: 'journalEntry',
  reads: '/api/ledger/entries',
  schema: journalEntrySchema,
};
