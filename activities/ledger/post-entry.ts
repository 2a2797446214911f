import type { Tx } from '../database.ts';
import type { RuleOfTheLedger, WriteContext } from '../operation.ts';
import type { AccountRole } from './accounts.ts';

export type EntryLine = AccountOfLine & {
  /** Signed: debit positive, credit negative. Lines of zero are omitted. */
  readonly amountMinor: bigint;
  readonly currency: string;
  readonly memo?: string;
};

/** The account of that role, or the one with that code: what a request, or a document that it is about, names. */
export type AccountOfLine =
  | { readonly role: AccountRole; readonly account?: never }
  | { readonly account: string; readonly role?: never };

export type NewEntry = {
  /** The write's own ID if the entry is the write's main row. */
  readonly id?: string;
  readonly date: string;
  readonly description: string;
  readonly lines: readonly EntryLine[];
  readonly metadata?: Readonly<Record<string, string>>;
};

/**
 * Posts the one journal entry of this write and returns its ID. The database refuses an entry that does not balance per
 * currency (`journal_entry_balanced`), is dated in a closed period (`period_closed`) or too far ahead (`date_too_late`), or
 * names an account that the company does not have (`account_not_usable`) or that only other operations may use
 * (`control_account`).
 */
export async function postEntry(tx: Tx, entry: NewEntry, context: WriteContext<RuleOfTheLedger>): Promise<string> {
  const { id, date, description, lines, metadata } = newEntryRow(entry, context);
  await tx.query(
    `SELECT post_entry(
       p_company => $1, p_entry => $2, p_write => $3, p_operation => $4, p_date => $5, p_description => $6, p_lines => $7,
       p_metadata => $8)`,
    [
      context.companyId,
      id,
      context.writeId,
      context.operation,
      date,
      description,
      JSON.stringify(lines),
      JSON.stringify(metadata),
    ],
  );
  return id;
}

/** An entry with the IDs that follow from its write, as the functions of the database take it. */
export function newEntryRow(entry: NewEntry, context: WriteContext<RuleOfTheLedger>) {
  return {
    id: entry.id ?? context.rowId('journal_entries', 0),
    date: entry.date,
    description: entry.description,
    lines: entry.lines.map((line, position) => ({
      id: context.rowId('journal_lines', position),
      account: line.account,
      role: line.role,
      // A string, because a JSON number would pass through a float; the database reads a bigint.
      amount: line.amountMinor.toString(),
      currency: line.currency,
      memo: line.memo ?? null,
    })),
    metadata: entry.metadata ?? {},
  };
}

/** How the operations that post declare that rule, about the `date` of the body unless they say otherwise. */
export const PERIOD_CLOSED = {
  status: 409,
  title: 'The books are closed for that date',
  nextAction: 'fix_request',
  about: { in: 'body', pointer: '/date' },
  toldByDatabase: true,
} as const;

/** How the operations that post declare that a date is more than `latestPostingDays` (a setting) after today. */
export const DATE_TOO_LATE = {
  status: 422,
  title: 'The date is more than latestPostingDays after today',
  nextAction: 'fix_request',
} as const;
