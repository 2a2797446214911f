import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inStoredOrder } from '../../activities/json.ts';
import { inForm } from '../support/form.ts';
import { customerId, invoiceId, openInvoiceBooks } from '../support/invoice-books.ts';
import {
  type Comparison,
  expectSetsLikeSingleWrites,
  keys,
  mostly,
  type SetWrite,
} from '../support/set-equivalence.ts';
import { type Member, type OneCompany, openOneCompany } from '../support/two-databases.ts';

const TIMEOUT_MS = 240_000;
const DRAFTS = inForm({ short: 40, long: 200 });

describe('a set of writes in one transaction leaves, item by item, what the same writes leave one by one', () => {
  let oneByOne: OneCompany;
  let inSets: OneCompany;
  beforeAll(async () => {
    [oneByOne, inSets] = await Promise.all([openInvoiceBooks(DRAFTS), openInvoiceBooks(DRAFTS)]);
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

  test(
    'createCustomer',
    async () => {
      await expectLikeOneByOne({
        set: setOf('createCustomer', customer(), (body) => ({ body })),
        outcomes: ['customer_reference_taken'],
      });
    },
    TIMEOUT_MS,
  );
});

test('notes come in the order in which PostgreSQL gives them back', async () => {
  const { owner, close } = await openOneCompany();
  try {
    await fc.assert(
      fc.asyncProperty(notes(), async (drawn) => {
        const { rows } = await owner.query('SELECT $1::jsonb AS stored', [JSON.stringify(drawn)]);
        expect(JSON.stringify(inStoredOrder(drawn))).toBe(JSON.stringify(rows[0].stored));
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
    unitPrice: fc.oneof(fc.integer({ min: 0, max: 5_000 }), mostly(100, 0, 10_000_000_000_000, -100)),
    accountCode: mostly('4000', '4100', '1000', '9999'),
    rate: fc.constantFrom({ taxRateBasisPoints: 0 }, { taxRateBasisPoints: 825 }, { taxRate: '8.875' }, {}),
    discount: optional(fc.constant({ percent: '12.5' })),
  });
  return fc.record({
    customerId: mostly(customerId('USD'), customerId('EUR'), customerId('none')),
    currency: fc.constant('USD'),
    dates: mostly({ issueDate: '2026-03-02', dueDate: '2026-04-01' }, { dueDate: '2999-12-31' }, PAST),
    lines: fc.array(
      line.map(({ rate, discount, ...rest }) => ({ ...rest, ...rate, ...(rest.unitPrice >= 0 && { discount }) })),
      { minLength: 1, maxLength: 3 },
    ),
    memo: optional(fc.constant('Thank you')),
    metadata: optional(notes()),
  });
}

function customer() {
  return fc.record({
    name: fc.constantFrom('Blue Harbour Bakery', 'Müller & Söhne'),
    email: optional(fc.constant('accounts@blue-harbour.test')),
    currency: optional(fc.constantFrom('USD', 'EUR')),
    externalReference: optional(fc.oneof(fc.nat(300), fc.nat(3)).map((number) => `CRM-${number}`)),
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
