import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { writeId } from '../../activities/identity.ts';
import { inForm } from '../support/form.ts';
import { expectSetsLikeSingleWrites, keys, mostly, type SetWrite } from '../support/set-equivalence.ts';
import { COMPANY_ID, type Member, type OneCompany, openOneCompany } from '../support/two-databases.ts';

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
  {
    operation: 'adjustInventory',
    openBooks: openStock,
    write: adjustment,
    rejections: [
      ...['inventory_item_not_found', 'account_not_usable', 'insufficient_stock', 'unit_cost_required'],
      ...['amount_out_of_range', 'period_closed'],
    ],
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

test('two sets of movements at once take what is in stock once, in whatever order they name their items', async () => {
  const books = await openStock();
  try {
    for (let round = 0; round < inForm({ short: 3, long: 20 }); round += 1) {
      const items = ['a', 'b'].map((item) => `raced-${item}-${round}`);
      for (const sku of items) await openItem(books, sku, { openingQuantity: 10, openingUnitCost: 7 });
      const removals = (set: string) =>
        Array.from({ length: 16 }, (_, index) =>
          books.argumentsOf({
            operation: 'adjustInventory',
            key: `${set}-${index}-${round}`,
            params: { itemId: itemId(items[index % 2] as string) },
            body: { quantityDelta: -1, reason: 'Sold', date: '2026-03-01' },
          }),
        );
      const sets = [removals('one'), removals('two').reverse()];
      expect(await Promise.all(sets.map((set) => books.runGroup(set)))).toEqual([[], []]);
      const { rows } = await books.owner.query(
        `SELECT outcome, count(*)::int AS writes, count(DISTINCT convert_from(response_body, 'UTF8')::jsonb ->> 'code')::int AS codes
         FROM idempotent_writes WHERE idempotency_key = ANY ($1) GROUP BY outcome ORDER BY outcome`,
        [sets.flat().map(({ key }) => key)],
      );
      expect(rows).toEqual([
        { outcome: 'rejected', writes: 12, codes: 1 },
        { outcome: 'succeeded', writes: 20, codes: 0 },
      ]);
    }
    expect(await brokenControls(books.owner)).toEqual({});
  } finally {
    await books.close();
  }
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

/** Few items, so that most sets move one of them several times; small stocks, which run out. One never gets a cost. */
function adjustment(): fc.Arbitrary<SetWrite> {
  const less = fc.record({ quantityDelta: fc.integer({ min: -4, max: -1 }) });
  const more = fc.record({
    quantityDelta: fc.integer({ min: 1, max: 4 }),
    unitCost: fc.option(mostly(7, 1, 10_000_000_000_000), { nil: undefined }),
  });
  const movement = fc.record({
    key: keys(),
    actor: actors(),
    sku: fc.constantFrom('item-0', 'item-0', 'item-1', 'item-1', 'empty', 'none'),
    units: fc.oneof(less, more),
    offsetAccountCode: mostly(undefined, '2000', '1200', '9999'),
    date: daysOfStock(),
  });
  return movement.map(({ key, actor, sku, units, offsetAccountCode, date }) => ({
    operation: 'adjustInventory',
    key,
    actor,
    params: { itemId: itemId(sku) },
    body: {
      ...(sku === 'empty' ? { quantityDelta: units.quantityDelta } : units),
      reason: 'Counted',
      date,
      ...(offsetAccountCode === undefined ? {} : { offsetAccountCode }),
    },
  }));
}

async function openBooks(): Promise<OneCompany> {
  const books = await openOneCompany();
  await run(books, 'updateCompanySettings', 'close', { expectedVersion: 1, booksClosedThrough: '2026-02-28' });
  return books;
}

/** Several open days in no order, so that much of what is taken is missing on a later one; now and then a closed day. */
const daysOfStock = () =>
  fc.constantFrom('2026-03-01', '2026-03-01', '2026-03-02', '2026-03-04', '2026-03-05', '2026-03-31', '2026-02-28');

/** Two items in stock, of averages that will not come out even, and one that is not. */
async function openStock(): Promise<OneCompany> {
  const books = await openBooks();
  await openItem(books, 'item-0', { openingQuantity: 10, openingUnitCost: 100 });
  await openItem(books, 'item-1', { openingQuantity: 3, openingUnitCost: 1 });
  await openItem(books, 'empty', {});
  return books;
}

function openItem(books: OneCompany, sku: string, stock: object): Promise<void> {
  return run(books, 'createInventoryItem', sku, { sku, name: 'Item', currency: 'USD', date: '2026-03-01', ...stock });
}

/** Of an item that {@link openItem} makes. */
function itemId(sku: string): string {
  return writeId(COMPANY_ID, 'createInventoryItem', sku);
}

async function run(books: OneCompany, operation: string, key: string, body: Record<string, unknown>): Promise<void> {
  await books.runAlone(books.argumentsOf({ operation, key, body }));
}
