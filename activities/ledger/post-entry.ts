import type { Tx } from '../database.ts';
import type { WriteContext } from '../operation.ts';

export type EntryLine = {
  readonly account: string;
  /** Signed: debit positive, credit negative. A line of zero is left out. */
  readonly amountMinor: bigint;
  readonly currency: string;
  readonly memo?: string;
};

type NewEntry = {
  /** The write's own ID where the entry is the main row that the write makes. */
  readonly id?: string;
  readonly date: string;
  readonly description: string;
  readonly lines: readonly EntryLine[];
  readonly metadata?: Readonly<Record<string, string>>;
};

/**
 * Posts the one journal entry of this write and answers its ID. The database refuses one that does not balance per
 * currency (`journal_entry_balanced`), that is dated in a closed period (`period_closed`), or that names an account which
 * the company does not have (`account_not_usable`) or to which only other operations post (`control_account`).
 */
export async function postEntry(tx: Tx, entry: NewEntry, context: WriteContext<'period_closed'>): Promise<string> {
  const values = entryValues(entry, context);
  await tx.query('SELECT post_entry($1, $2, $3, $4, $5, $6, $7, $8)', values);
  return values[1];
}

/** What `post_entry` takes, in its order, for an operation that calls it within a statement of its own. */
export function entryValues(entry: NewEntry, context: WriteContext<'period_closed'>) {
  const lines = entry.lines.map((line, position) => ({
    id: context.rowId('journal_lines', position),
    account: line.account,
    // As a string: JSON numbers are floats on the way, the database reads a bigint.
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

/** How the operations that post declare that rule, unless they have more to say about it. */
export const PERIOD_CLOSED = {
  status: 409,
  title: 'The books are closed for that date',
  nextAction: 'fix_request',
} as const;
