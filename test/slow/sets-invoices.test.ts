import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { writeId } from '../../activities/identity.ts';
import { asStored } from '../../activities/json.ts';
import { inForm } from '../support/form.ts';
import { untilWaiting } from '../support/held-invoice.ts';
import {
  type Comparison,
  expectSetsLikeSingleWrites,
  keys,
  mostly,
  type SetWrite,
} from '../support/set-equivalence.ts';
import { COMPANY_ID, type Member, type OneCompany, openOneCompany } from '../support/two-databases.ts';

const TIMEOUT_MS = 240_000;

describe('a set of writes in one transaction leaves, item by item, what the same writes leave one by one', () => {
  let oneByOne: OneCompany;
  let inSets: OneCompany;
  beforeAll(async () => {
    [oneByOne, inSets] = await Promise.all([openBooks(), openBooks()]);
  });
  afterAll(async () => {
    await Promise.all([oneByOne.close(), inSets.close()]);
  });

  async function expectLikeOneByOne(comparison: Pick<Comparison, 'set' | 'outcomes'>): Promise<void> {
    const outcomes = ['succeeded', 'cancelled', 'forbidden', ...comparison.outcomes];
    const limits = { numRuns: inForm({ short: 4, long: 25 }), limitMs: inForm({ short: 20_000, long: 60_000 }) };
    await expectSetsLikeSingleWrites({ oneByOne, inSets, ...comparison, ...limits, outcomes });
  }

  test(
    'createInvoice',
    async () => {
      await expectLikeOneByOne({
        set: setOf('createInvoice', invoice(), ({ dates, ...body }) => ({ body: { ...body, ...dates } })),
        outcomes: [
          ...['customer_not_found', 'currency_mismatch', 'account_not_usable'],
          ...['amount_out_of_range', 'due_before_issue'],
        ],
      });
    },
    TIMEOUT_MS,
  );

  test(
    'finalizeInvoice',
    async () => {
      await expectLikeOneByOne({
        set: setOf('finalizeInvoice', finalization(), ({ draft, ...body }) => ({
          params: { invoiceId: invoiceId(draft) },
          body,
        })),
        outcomes: ['invoice_not_found', 'invoice_not_draft', 'period_closed', 'due_before_issue'],
      });
    },
    TIMEOUT_MS,
  );
});

describe('invoice numbers run from 1 without a gap', () => {
  let books: OneCompany;
  beforeEach(async () => {
    books = await openBooks();
  });
  afterEach(() => books.close());

  const finalizations = (drafts: readonly number[], run: string, issueDate = '2026-03-10') =>
    drafts.map((draft, position) =>
      books.argumentsOf({
        operation: 'finalizeInvoice',
        key: `${run}-${position}`,
        params: { invoiceId: invoiceId(draft) },
        body: { issueDate },
      }),
    );

  async function expectNumbers(count: number): Promise<void> {
    const { rows } = await books.owner.query('SELECT number FROM invoices WHERE number IS NOT NULL ORDER BY number');
    expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: count }, (_, index) => index + 1));
    expect(await brokenControls(books.owner)).toEqual({});
  }

  test.each([
    { numbers: 'the first ones', before: [], held: 'companies' },
    { numbers: 'later ones', before: [2], held: 'number_counters' },
  ])('when two writes ask for $numbers at the same moment', async ({ before, held }) => {
    for (const args of finalizations(before, 'before')) await books.runAlone(args);
    const holder = await books.owner.connect();
    try {
      await holder.query(`BEGIN; SELECT FROM ${held} FOR UPDATE`);
      const both = Promise.all(finalizations([0, 1], 'both').map((args) => books.runAlone(args)));
      await untilWaiting(books.owner, 2);
      await holder.query('COMMIT');
      await both;
    } finally {
      holder.release();
    }
    await expectNumbers(before.length + 2);
  });

  test('when two sets ask for them at the same moment, some in vain', async () => {
    const sets = [finalizations([0, 1, 2, 3, 0], 'one'), finalizations([5, 6, 7, 8, 5], 'other')];
    expect(await Promise.all(sets.map((items) => books.runGroup(items)))).toEqual([[], []]);
    await expectNumbers(8);
  });

  test('when a set of a new company asks for them in vain', async () => {
    expect((await books.runTogether(finalizations([0, 1], 'closed', '2026-01-01'))).size).toBe(2);
    expect((await books.owner.query('SELECT FROM number_counters')).rowCount).toBe(0);
    expect((await books.runTogether(finalizations([0, 1], 'open'))).size).toBe(2);
    await expectNumbers(2);
  });
});

test('notes come in the order in which PostgreSQL gives them back', async () => {
  const { owner, close } = await openOneCompany();
  try {
    await fc.assert(
      fc.asyncProperty(notes(), async (drawn) => {
        const { rows } = await owner.query('SELECT $1::jsonb AS stored', [JSON.stringify(drawn)]);
        expect(JSON.stringify(asStored(drawn))).toBe(JSON.stringify(rows[0].stored));
      }),
    );
  } finally {
    await close();
  }
});

/** Due before any day on which this test runs. */
const PAST = { dueDate: '2020-01-01' };

function invoice() {
  const line = fc.record({
    description: fc.constantFrom('Work', 'Advice'),
    quantity: fc.constantFrom('1', '1.50', '0.3333', '100'),
    unitPrice: fc.oneof(fc.integer({ min: 0, max: 5_000 }), mostly(100, 0, 10_000_000_000_000)),
    taxRateBasisPoints: fc.constantFrom(0, 825, 1_900),
    accountCode: mostly('4000', '4100', '1000', '9999'),
  });
  return fc.record({
    customerId: mostly(customerId('USD'), customerId('EUR'), customerId('none')),
    currency: fc.constant('USD'),
    dates: mostly({ issueDate: '2026-03-02', dueDate: '2026-04-01' }, { dueDate: '2999-12-31' }, PAST),
    lines: fc.array(line, { minLength: 1, maxLength: 3 }),
    memo: optional(fc.constant('Thank you')),
    metadata: optional(notes()),
  });
}

function finalization() {
  return fc.record({
    draft: fc.oneof(fc.nat(DRAFTS - 1), fc.constantFrom(0, 1, DRAFTS)),
    // The books are closed for some dates, and some are after the due date.
    issueDate: optional(mostly('2026-03-20', '2026-02-28', '2026-12-31', '2027-01-01')),
  });
}

function notes(): fc.Arbitrary<Record<string, string>> {
  // Of these, the last two have as many bytes; by their UTF-16 code units they would be the other way round.
  const key = fc.constantFrom('b', 'a', 'aa', 'é', 'e', 'room', '10', '9', 'A', '\uffffa', '😀');
  return fc.dictionary(key, fc.constantFrom('one', 'two'), { maxKeys: 8 });
}

function optional<T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(value, { nil: undefined });
}

/** Under few keys, mostly by a member who may write. */
function setOf<Drawn>(
  operation: string,
  drawn: fc.Arbitrary<Drawn>,
  request: (drawn: Drawn) => Pick<SetWrite, 'params' | 'body'>,
): fc.Arbitrary<SetWrite[]> {
  const write = fc.record({ key: keys(), actor: mostly<Member>('owner', 'auditor', 'stranger'), drawn });
  return fc.array(
    // As it comes over the wire: without members that are undefined.
    write.map(({ drawn, ...one }) => ({ operation, ...one, ...JSON.parse(JSON.stringify(request(drawn))) })),
    { minLength: 2, maxLength: 12 },
  );
}

/** Of a customer that {@link openBooks} makes. */
function customerId(currency: string): string {
  return writeId(COMPANY_ID, 'createCustomer', `customer-${currency}`);
}

/** Of a draft that {@link openBooks} makes. */
function invoiceId(draft: number): string {
  return writeId(COMPANY_ID, 'createInvoice', `draft-${draft}`);
}

const DRAFTS = inForm({ short: 40, long: 200 });

/** A customer in each of two currencies, a second income account, and drafts; February is closed. */
async function openBooks(): Promise<OneCompany> {
  const books = await openOneCompany();
  const run = (operation: string, key: string, body: Record<string, unknown>) =>
    books.runAlone(books.argumentsOf({ operation, key, body }));
  for (const currency of ['USD', 'EUR']) {
    await run('createCustomer', `customer-${currency}`, { name: 'Customer', currency });
  }
  await run('createAccount', 'account', { code: '4100', name: 'Advice', type: 'income' });
  await books.runTogether(
    Array.from({ length: DRAFTS }, (_, index) =>
      books.argumentsOf({ operation: 'createInvoice', key: `draft-${index}`, body: draftBody(index) }),
    ),
  );
  await run('updateCompanySettings', 'close', { expectedVersion: 1, booksClosedThrough: '2026-02-28' });
  return books;
}

/** Every fifth is dated in February. */
function draftBody(index: number) {
  const line = {
    description: 'Work',
    quantity: '1.5',
    unitPrice: 100 + index,
    taxRateBasisPoints: 825,
    accountCode: '4000',
  };
  return {
    customerId: customerId('USD'),
    currency: 'USD',
    issueDate: index % 5 === 4 ? '2026-02-10' : '2026-03-10',
    dueDate: '2026-12-31',
    lines: [line, { ...line, accountCode: '4100', taxRateBasisPoints: 0 }, line],
    metadata: { room: '12', floor: '3', a: '1' },
  };
}
