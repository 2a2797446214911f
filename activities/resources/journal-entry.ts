import type { Tx } from '../database.ts';
import { toWireAmount } from '../money.ts';

/** The journal entry as the API shows it, and the columns that it is made of. */
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

export function toEntry(row: EntryRow, lines: readonly EntryLineRow[]) {
  return {
    id: row.id,
    date: row.entry_date,
    description: row.description,
    source: { operation: row.operation, writeId: row.write_id },
    reverses: row.reverses,
    lines: lines.map((line) => ({
      id: line.id,
      accountCode: line.account_code,
      amount: toWireAmount(line.amount_minor),
      currency: line.currency,
      memo: line.memo,
    })),
    metadata: row.metadata,
    createdAt: row.created_at,
  };
}

/** The lines of some entries of the company that the transaction works for, by entry and number. */
export function readEntryLines(tx: Tx, entryIds: readonly string[]): Promise<EntryLineRow[]> {
  return tx.query<EntryLineRow>(
    `SELECT l.entry_id, l.id, a.code AS account_code, l.amount_minor, l.currency, l.memo
     FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
     WHERE l.company_id = current_company() AND l.entry_id = ANY ($1::uuid[])
     ORDER BY l.entry_id, l.line_number`,
    [entryIds],
  );
}
