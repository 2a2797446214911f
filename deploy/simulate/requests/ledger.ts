import { ACCOUNTS } from '../../../activities/ledger/accounts.ts';
import {
  type BankTransaction,
  type Books,
  CURRENCIES,
  codesOf,
  EARLIER_YEARS,
  isClosed,
  isFarAhead,
  LONG_CLOSED,
  postingDay,
  sumOf,
} from './books.ts';
import {
  type Answer,
  created,
  inOrder,
  type OperationModel,
  over,
  refused,
  refusedAnyway,
  type Total,
  uniqueName,
  workingOn,
} from './operation-model.ts';
import { post, postMirror } from './postings.ts';

/** The settings, by the operation that changes them: whether a day is closed rests on the last change. */
export const SETTINGS = 'updateCompanySettings';

const createAccount: OperationModel = {
  weight: 1,
  request(books, random) {
    const code = uniqueName(books, random, [...books.accounts.keys()], (number) => `X${number}`);
    const isBank = random.chance(0.3);
    const type = isBank ? 'asset' : random.pick(['income', 'income', 'expense', 'liability']);
    return { body: { code, name: `Account ${code}`, type, ...(isBank && { isBank }) } };
  },
  answer({ accounts }, { body: { code, type, isBank = false } }) {
    if (accounts.has(code)) return refusedAnyway(409, 'account_code_taken');
    return created(() => accounts.set(code, { type, isBank, isControl: false }), code);
  },
};

const createJournalEntry: OperationModel = {
  weight: 7,
  request(books, random) {
    const { nat, pick, unusual } = random;
    const offsets = codesOf(books, ({ isControl }) => !isControl);
    const brings = needsEarlierYears(books);
    const lines = Array.from({ length: 1 + nat(4) }, (_, place) => ({
      accountCode:
        brings && place === 0 ? ACCOUNTS.sales : unusual(0.02) ? pick(['1100', '1200', 'no-such']) : pick(offsets),
      amount: pick([-1, 1]) * (1 + nat(50_000)),
    }));
    const sum = lines.reduce((total, { amount }) => total + amount, 0);
    const bank = pick(codesOf(books, ({ isBank }) => isBank));
    // What is left goes to a bank account, or they sum up by themselves.
    const balanced = sum === 0 ? lines : [{ accountCode: bank, amount: -sum }, ...lines];
    return {
      body: {
        date: brings ? (EARLIER_YEARS[books.entries.size] ?? '') : postingDay(books, random),
        description: 'By hand',
        currency: pick(CURRENCIES),
        lines: balanced,
      },
    };
  },
  answer(books, { body }, write) {
    const lines: { accountCode: string; amount: number }[] = body.lines;
    for (const { accountCode } of lines) {
      const account = books.accounts.get(accountCode);
      if (account === undefined) return refusedAnyway(422, 'account_not_usable');
      if (account.isControl) return refusedAnyway(422, 'control_account');
    }
    if (isClosed(books, body.date)) return periodClosed(body.date);
    if (isFarAhead(body.date)) return refused(422, 'date_too_late');
    const posted = lines.map(({ accountCode, amount }) => [accountCode, BigInt(amount)] as const);
    const total = debitsOf(posted.map(([, amount]) => ({ amount, currency: body.currency })));
    const answer = over(total).created(() => {
      post(books, { id: write.id, date: body.date, currency: body.currency, lines: posted }, write);
    });
    return EARLIER_YEARS.includes(body.date) ? inOrder(answer, SETTINGS) : answer;
  },
};

/** Before its settings change for the first time, a company posts what it brings with it from earlier years. */
export function needsEarlierYears({ entries, settings }: Books): boolean {
  return settings.version === 1 && entries.size < EARLIER_YEARS.length;
}

/** What an entry debits. */
function debitsOf(lines: readonly Total[]): Total {
  const debits = lines.filter(({ amount }) => amount > 0n);
  return { amount: sumOf(debits, ({ amount }) => amount), currency: lines[0]?.currency ?? '' };
}

const REVERSIBLE = ['createJournalEntry', 'reconcileLedger'];

const reverseJournalEntry = workingOn(({ entries }) => entries, {
  weight: 3,
  fits: ({ operation, isReversed }) => REVERSIBLE.includes(operation) && !isReversed,
  madeBy: 'createJournalEntry',
  notFound: [404, 'journal_entry_not_found'],
  body: (entry, _, books, random) => ({ reason: 'Posted twice', date: postingDay(books, random, entry?.date) }),
  answer(entry, { target, body }, books) {
    if (!REVERSIBLE.includes(entry.operation)) return refused(409, 'entry_not_reversible');
    if (entry.isReversed) return refused(409, 'entry_already_reversed');
    const lines = entry.lineIds.flatMap((id) => books.bankLines.get(id) ?? []);
    const { difference } = entry;
    if (lines.some(({ matched }) => matched !== undefined) && !difference?.hasDifference) {
      return refused(409, 'line_reconciled');
    }
    if (body.date < entry.date) return refused(422, 'date_before_original');
    if (isClosed(books, body.date)) return refused(409, 'period_closed');
    if (isFarAhead(body.date)) return refused(422, 'date_too_late');
    return over(debitsOf(entry.lines)).created(() => {
      if (difference) setFree(books, difference);
      entry.isReversed = true;
      for (const line of lines) line.matched = 'reversed';
      postMirror(books, entry, body.date);
    }, target);
  },
});

/** What is long closed stays so: where the books are opened in a simulation, they are opened from a later day on. */
export function periodClosed(date: string): Answer {
  return date === LONG_CLOSED ? refusedAnyway(409, 'period_closed', SETTINGS) : refused(409, 'period_closed');
}

export const LEDGER = { createAccount, createJournalEntry, reverseJournalEntry };

/** The bank transaction is unreconciled, and its lines can be matched again. */
export function setFree({ bankLines }: Books, transaction: BankTransaction): void {
  Object.assign(transaction, { isReconciled: false, hasDifference: false });
  for (const line of bankLines.values()) if (line.matched === transaction) line.matched = undefined;
}
