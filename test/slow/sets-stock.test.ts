import fc from 'fast-check';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { inForm } from '../support/form.ts';
import { expectSetsLikeSingleWrites, keys, mostly, type SetWrite } from '../support/set-equivalence.ts';
import { type Member, type OneCompany, openOneCompany } from '../support/two-databases.ts';

const TIMEOUT_MS = 240_000;
const LIMITS = { numRuns: inForm({ short: 6, long: 60 }), limitMs: inForm({ short: 15_000, long: 60_000 }) };

/** Mostly in the open; February is closed. */
const dates = () => mostly('2026-03-01', '2026-01-31', '2026-02-28');
const actors = () => mostly<Member>('owner', 'auditor', 'stranger');

describe.each([
  {
    operation: 'createJournalEntry',
    openBooks,
    write: manualEntry,
    rejections: ['account_not_usable', 'control_account', 'period_closed'],
  },
])('a set of $operation', ({ openBooks: open, write, rejections }) => {
  let oneByOne: OneCompany;
  let inSets: OneCompany;
  beforeAll(async () => {
    [oneByOne, inSets] = await Promise.all([open(), open()]);
  });
  afterAll(async () => {
    await Promise.all([oneByOne.close(), inSets.close()]);
  });

  test(
    'leaves, item by item, what the same writes leave one by one in the same order',
    async () => {
      await expectSetsLikeSingleWrites({
        oneByOne,
        inSets,
        set: fc.array(write(), { minLength: 2, maxLength: 12 }),
        outcomes: ['succeeded', 'cancelled', 'forbidden', ...rejections],
        ...LIMITS,
      });
    },
    TIMEOUT_MS,
  );
});

/** Pairs of lines; few accounts, and now and then one that cannot be posted to. */
function manualEntry(): fc.Arbitrary<SetWrite> {
  const account = () => mostly('1000', '2000', '3000', '1100', '1200', '9999');
  const pair = fc.record({
    debit: account(),
    credit: mostly('3000', '1200', '9999'),
    amount: fc.oneof(fc.integer({ min: 1, max: 500 }), fc.constant(10_000_000_000_000)),
    memo: fc.constantFrom('Fee', undefined),
  });
  const entry = fc.record({
    key: keys(),
    actor: actors(),
    date: dates(),
    pairs: fc.array(pair, { minLength: 1, maxLength: 4 }),
    metadata: fc.constantFrom(undefined, {}, { voucher: 'V-1', b: 'é', a: '"' }),
  });
  return entry.map(({ key, actor, date, pairs, metadata }) => ({
    operation: 'createJournalEntry',
    key,
    actor,
    body: {
      date,
      description: 'By hand',
      currency: 'USD',
      lines: pairs.flatMap(({ debit, credit, amount, memo }) => [
        { accountCode: debit, amount, ...(memo === undefined ? {} : { memo }) },
        { accountCode: credit, amount: -amount },
      ]),
      ...(metadata === undefined ? {} : { metadata }),
    },
  }));
}

async function openBooks(): Promise<OneCompany> {
  const books = await openOneCompany();
  await run(books, 'updateCompanySettings', 'close', { expectedVersion: 1, booksClosedThrough: '2026-02-28' });
  return books;
}

async function run(books: OneCompany, operation: string, key: string, body: Record<string, unknown>): Promise<void> {
  await books.runAlone(books.argumentsOf({ operation, key, body }));
}
