import type { Tx } from '../database.ts';
import type { RuleOfTheLedger, WriteContext } from '../operation.ts';
import { type NewEntry, newEntryRow } from './post-entry.ts';

/** What the decisions of a set rest on when it posts; the company's row is locked, so that the books cannot be closed. */
export type PostingFacts = {
  /** The time of the transaction: `created_at` of every row that it inserts. */
  readonly now: string;
  /** In the company's time zone. */
  readonly today: string;
  readonly closedThrough: string | null;
  /** The last day that can be posted on: today and `latestPostingDays`. */
  readonly latest: string;
  /** Those of the requested codes that the company has. */
  readonly accounts: ReadonlyMap<string, Account>;
};

type Account = {
  readonly id: string;
  readonly type: 'asset' | 'liability' | 'equity' | 'income' | 'expense';
  readonly isBank: boolean;
  readonly isControl: boolean;
};

/** Has to come after the locks on rows, as in a single write: the company's row is locked by the trigger of the entry. */
export async function loadPostingFacts(tx: Tx, companyId: string, codes: readonly string[]): Promise<PostingFacts> {
  const [facts] = await tx.query<{
    now: string;
    today: string;
    closed_through: string | null;
    latest: string;
    accounts: Record<string, Account>;
  }>('SELECT now, today, closed_through, latest, accounts FROM posting_facts(p_company => $1, p_codes => $2)', [
    companyId,
    [...new Set(codes)],
  ]);
  if (facts === undefined) throw new Error('Bug! The company has no row');
  const { now, today, closed_through: closedThrough, latest, accounts } = facts;
  return { now, today, closedThrough, latest, accounts: new Map(Object.entries(accounts)) };
}

/**
 * The rule of the trigger `begin_journal_entry`, which stays as the backstop and says it in the same words. Throws
 * `period_closed`, about the member of the body that has the date.
 */
export function requireOpenPeriod(
  { closedThrough }: Pick<PostingFacts, 'closedThrough'>,
  date: string,
  pointer: `/${string}`,
  context: WriteContext<'period_closed'>,
): void {
  // Dates of the form YYYY-MM-DD compare correctly as text.
  if (closedThrough !== null && date <= closedThrough) {
    throw context.reject('period_closed', `The books are closed through ${closedThrough}.`, pointer);
  }
}

/** The other rule of that trigger about dates. Throws `date_too_late`, about that member too. */
export function requireNotTooLate(
  { latest }: Pick<PostingFacts, 'latest'>,
  date: string,
  pointer: `/${string}`,
  context: WriteContext<'date_too_late'>,
): void {
  // Dates of the form YYYY-MM-DD compare correctly as text.
  if (date > latest) {
    throw context.reject('date_too_late', `The company posts nothing that is dated after ${latest}.`, pointer);
  }
}

/** An entry of a set: of one of its writes, which posts it with those of the others. */
export type EntryOfSet = ReturnType<typeof entryOf>;

/** The entry of this write, for {@link postEntries}. Its ID is returned as `id`. */
export function entryOf(entry: NewEntry, context: WriteContext<RuleOfTheLedger>) {
  return { ...newEntryRow(entry, context), write_id: context.writeId };
}

/** Posts the entries of a set in one statement; all of them are of one operation. */
export function postEntries(tx: Tx, companyId: string, operation: string, entries: readonly EntryOfSet[]) {
  return tx.query('SELECT post_entries(p_company => $1, p_operation => $2, p_entries => $3)', [
    companyId,
    operation,
    JSON.stringify(entries),
  ]);
}
