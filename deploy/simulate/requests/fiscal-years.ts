import { type Books, EARLIER_YEARS, type Write } from './books.ts';
import { SETTINGS } from './ledger.ts';
import {
  type Answer,
  changed,
  created,
  inOrder,
  type OperationModel,
  refused,
  refusedAnyway,
} from './operation-model.ts';
import { post, postMirrorOf } from './postings.ts';

/** With each of them, a company brings something with it from both of the earlier years. */
export const FISCAL_YEAR_ENDS = ['12-31', '11-30', '06-30'] as const;
/** Over whenever this runs, and before the days that most requests post on. */
const YEARS: readonly number[] = EARLIER_YEARS.map((day) => Number(day.slice(0, 4)));
const NO_YEARS = [1999, 2998] as const;
const RETAINED_EARNINGS = '3100';

const closeFiscalYear: OperationModel = {
  weight: 2,
  prerequisite(books) {
    if (books.postings.length === 0) return 'createJournalEntry';
    return books.closings.length > 0 && !YEARS.includes(nextYear(books) ?? 0) ? 'reopenFiscalYear' : undefined;
  },
  request(books, { pick, unusual }) {
    const next = nextYear(books) ?? 0;
    const year = unusual(0.1) || !YEARS.includes(next) ? pick([...YEARS, ...NO_YEARS]) : next;
    return { target: String(year), body: {} };
  },
  // Whether a day is closed rests on it as on the settings.
  answer: (books, { target }, write) => inOrder(closeYear(books, Number(target), write), SETTINGS),
};

function closeYear(books: Books, year: number, write: Write): Answer {
  const { closings } = books;
  if (closings.some((closing) => closing.year === year)) return refusedAnyway(409, 'fiscal_year_closed');
  if (year !== nextYear(books)) return refusedAnyway(409, 'fiscal_year_out_of_order');
  const endsOn = `${year}-${books.settings.fiscalYearEnd}`;
  if (isStepLeft(books, endsOn)) return refused(409, 'controls_failed');
  return created(() => {
    const { closedThrough } = books.settings;
    if (closedThrough === null || closedThrough < endsOn) closeThrough(books, endsOn);
    closings.push({ year, endsOn, closedThroughBefore: closedThrough, entryId: postClosing(books, endsOn, write) });
  });
}

const reopenFiscalYear: OperationModel = {
  weight: 2,
  prerequisite: ({ closings }) => (closings.length > 0 ? undefined : 'closeFiscalYear'),
  request({ closings }, { pick, unusual }) {
    const year = unusual(0.1) ? pick([...YEARS, ...NO_YEARS]) : (closings.at(-1)?.year ?? pick(YEARS));
    return { target: String(year), body: { reason: 'An invoice was found' } };
  },
  answer: (books, { target }) => inOrder(reopenYear(books, Number(target)), SETTINGS),
};

function reopenYear(books: Books, year: number): Answer {
  const latest = books.closings.at(-1);
  if (latest?.year !== year) return refusedAnyway(409, 'fiscal_year_out_of_order');
  return changed(() => {
    books.closings.pop();
    const { closedThrough } = books.settings;
    const { closedThroughBefore: before, endsOn, entryId } = latest;
    const opensMore = closedThrough !== null && (before === null || before < closedThrough);
    if (opensMore) closeThrough(books, before);
    if (entryId !== undefined) postMirrorOf(books, entryId, endsOn);
  });
}

export const FISCAL_YEARS = { closeFiscalYear, reopenFiscalYear };

/** Whether the books cannot be opened from the day after that one on; null would open all of them. */
export function keepsYearClosed({ closings }: Books, closedThrough: string | null): boolean {
  return closings.some(({ endsOn }) => closedThrough === null || endsOn > closedThrough);
}

/**
 * Whether something is left to do before the books are closed through that day. Nobody can execute a run any more whose date is closed, or of which someone is paid for the
 * period.
 */
export function isStepLeft({ bankTransactions, payRuns, paidPeriods, settings }: Books, through: string): boolean {
  const isOpen = (date: string) => settings.closedThrough === null || date > settings.closedThrough;
  return (
    [...bankTransactions.values()].some(({ isReconciled, content }) => !isReconciled && content.date <= through) ||
    [...payRuns.values()].some(
      ({ status, date, periods }) =>
        status === 'approved' && date <= through && isOpen(date) && !periods.some((period) => paidPeriods.has(period)),
    )
  );
}

/** The one to be closed next: at first, that of the first posting. Undefined where nothing was posted. */
function nextYear({ closings, postings, settings }: Books): number | undefined {
  const latest = closings.at(-1);
  if (latest !== undefined) return latest.year + 1;
  const [first] = postings.map(({ date }) => date).toSorted();
  return first === undefined
    ? undefined
    : Number(first.slice(0, 4)) + (first.slice(5) > settings.fiscalYearEnd ? 1 : 0);
}

function closeThrough(books: Books, day: string | null): void {
  books.settings = { ...books.settings, version: books.settings.version + 1, closedThrough: day };
}

/** Moves what income and expense accounts hold as of that day to retained earnings, in each currency; nothing if they hold nothing. */
function postClosing(books: Books, endsOn: string, write: Write): string | undefined {
  const held = new Map<string, Map<string, bigint>>();
  for (const { account, amount, currency, date } of books.postings) {
    const type = books.accounts.get(account)?.type;
    if (date > endsOn || (type !== 'income' && type !== 'expense')) continue;
    const ofCurrency = held.get(currency) ?? new Map<string, bigint>();
    held.set(currency, ofCurrency.set(account, (ofCurrency.get(account) ?? 0n) + amount));
  }
  const lines = [...held].toSorted(byName).flatMap(([currency, amounts]) => {
    const accounts = [...amounts].filter(([, amount]) => amount !== 0n).toSorted(byName);
    const result = accounts.reduce((sum, [, amount]) => sum + amount, 0n);
    const moves = accounts.map(([account, amount]) => [account, -amount, currency] as const);
    return result === 0n ? moves : [...moves, [RETAINED_EARNINGS, result, currency] as const];
  });
  return lines.length === 0 ? undefined : post(books, { date: endsOn, currency: '', lines }, write);
}

function byName([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return one < other ? -1 : 1;
}
