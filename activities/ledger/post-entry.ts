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
export async function postEntry(tx: Tx, entry: NewEntry, context: WriteContext<'period_closed'>): Promise<string> {
  const values = entryValues(entry, context);
  await tx.query(`SELECT ${POST_ENTRY}`, values);
  return values[1];
}

/** The call of `post_entry` with {@link entryValues} as `$1` to `$8`, alone or as part of another statement. */
export const POST_ENTRY = `post_entry(
  p_company => $1, p_entry => $2, p_write => $3, p_operation => $4, p_date => $5, p_description => $6, p_lines => $7,
  p_metadata => $8)`;

/** The arguments of {@link POST_ENTRY} in order. */
export function entryValues(entry: NewEntry, context: WriteContext<'period_closed'>) {
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

/** How the operations that post declare that rule, unless they have more to say about it. */
export const PERIOD_CLOSED = {
  status: 409,
  title: 'The books are closed for that date',
  nextAction: 'fix_request',
} as const;
