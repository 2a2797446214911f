import type { Tx } from '../database.ts';
import type { WriteContext } from '../operation.ts';

export type EntryLine = {
  readonly account: string;
  /** Signed: debit positive, credit negative. Lines of zero are omitted. */
  readonly amountMinor: bigint;
  readonly currency: string;
  readonly memo?: string;
};

type NewEntry = {
  /** The write's own ID if the entry is the write's main row. */
  readonly id?: string;
  readonly date: string;
  readonly description: string;
  readonly lines: readonly EntryLine[];
  readonly metadata?: Readonly<Record<string, string>>;
};

/**
 * Posts the one journal entry of this write and returns its ID. The database refuses an entry that does not balance per
 * currency (`journal_entry_balanced`), is dated in a closed period (`period_closed`), or names an account that the company
 * does not have (`account_not_usable`) or that only other operations may use (`control_account`).
 */
export async function postEntry(tx: Tx, entry: NewEntry, context: WriteContext): Promise<string> {
  const values = entryValues(entry, context);
  await tx.query('SELECT post_entry($1, $2, $3, $4, $5, $6, $7, $8)', values);
  return values[1];
}

/** The arguments of `post_entry` in order, for an operation that calls it within its own statement. */
export function entryValues(entry: NewEntry, context: WriteContext) {
  const lines = entry.lines.map((line, position) => ({
    id: context.rowId('journal_lines', position),
    account: line.account,
    // A string, because a JSON number would pass through a float; the database reads a bigint.
    amount: line.amountMinor.toString(),
    currency: line.currency,
    memo: line.memo ?? null,
  }));
  return [
    context.companyId,
    entry.id ?? context.rowId('journal_entries', 0),
    context.writeId,
    context.operation,
    entry.date,
    entry.description,
    JSON.stringify(lines),
    JSON.stringify(entry.metadata ?? {}),
  ] as const;
}
