import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { writeId } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import type { SetOperation } from '../../activities/write/run-set.ts';
import type { WriteArguments } from '../../workflows/messages.ts';
import { inForm, timeLimit } from '../support/form.ts';
import { COMPANY_ID, type Member, type OneCompany, openOneCompany } from '../support/two-databases.ts';

const NUM_RUNS = inForm({ short: 6, long: 80 });
const LIMIT_MS = inForm({ short: 30_000, long: 120_000 });
const TIMEOUT_MS = 240_000;
const POLL = { timeout: 30_000 };

/** What the random writes must have come to, so that the comparison has compared it. */
const OUTCOMES = inForm({
  short: ['succeeded'],
  long: [
    ...['succeeded', 'cancelled', 'forbidden', 'invoice_not_found', 'invoice_not_payable', 'currency_mismatch'],
    ...['payment_exceeds_outstanding', 'account_not_usable', 'period_closed'],
  ],
});

describe('a set of writes in one transaction', () => {
  let oneByOne: OneCompany;
  let inSets: OneCompany;
  beforeAll(async () => {
    [oneByOne, inSets] = await Promise.all([openBooks(), openBooks()]);
  });
  afterAll(async () => {
    await Promise.all([oneByOne.close(), inSets.close()]);
  });

  test(
    'leaves, item by item, what the same writes leave one by one in the same order',
    async () => {
      const isOver = timeLimit(LIMIT_MS);
      await fc.assert(
        fc.asyncProperty(fc.array(setOfPayments(), { minLength: 1, maxLength: 4 }), async (sets) => {
          if (isOver()) return;
          const run = randomUUID().slice(0, 8);
          for (const books of [oneByOne, inSets]) await books.cancel(`key-7-${run}`);
          for (const payments of sets) {
            // A second body under a key of the set goes after the set; so it does one by one.
            const members = payments.filter((one, index) => payments.findIndex(({ key }) => key === one.key) === index);
            const later = payments.filter((payment) => !members.includes(payment));
            for (const payment of [...members, ...later]) await oneByOne.runAlone(argumentsOf(oneByOne, payment, run));
            const items = members.map((payment) => argumentsOf(inSets, payment, run));
            const claimed = await inSets.runTogether(items);
            for (const item of items.filter(({ key }) => !claimed.has(key))) await inSets.runAlone(item);
            for (const payment of later) await inSets.runAlone(argumentsOf(inSets, payment, run));
          }
          expect(await inSets.everything()).toEqual(await oneByOne.everything());
        }),
        { numRuns: NUM_RUNS },
      );
      for (const books of [oneByOne, inSets]) expect(await brokenControls(books.owner)).toEqual({});
      expect(inSets.sets).toBeGreaterThan(NUM_RUNS / 2);
      const { rows } = await inSets.owner.query(
        `SELECT DISTINCT coalesce(convert_from(response_body, 'UTF8')::jsonb ->> 'code', outcome) AS outcome
         FROM idempotent_writes`,
      );
      expect(rows.map(({ outcome }) => outcome)).toEqual(expect.arrayContaining(OUTCOMES));
    },
    TIMEOUT_MS,
  );

  test('hands over the rows that the database has', async () => {
    const items = [1, 99_999_999, 2].map((amount, index) =>
      argumentsOf(inSets, { ...PAYMENT, key: `rows-${index}`, amount }, 'rows'),
    );
    const handedOver = await inSets.runTogether(items);
    expect(handedOver.size).toBe(items.length);
    for (const { key } of items) {
      const { rows } = await inSets.owner.query('SELECT * FROM idempotent_writes WHERE idempotency_key = $1', [key]);
      const { claimed_at: _, completed_at, requested_at, ...row } = rows[0];
      const instants = { completed_at: completed_at.toISOString(), requested_at: requested_at.toISOString() };
      expect(handedOver.get(key)).toEqual({ ...row, ...instants });
    }
  });

  test('that meets a locked row leaves it to the one write that needs it', async () => {
    const holder = await inSets.owner.connect();
    try {
      await holder.query('BEGIN');
      await holder.query('SELECT 1 FROM invoices WHERE id = $1 FOR UPDATE', [invoiceId('invoice-0')]);
      const items = ['invoice-0', 'invoice-1', 'invoice-2'].map((invoice, index) =>
        argumentsOf(inSets, { ...PAYMENT, invoice, key: `lock-${index}` }, 'lock'),
      );
      const group = inSets.runGroup(items);
      await expect.poll(() => succeeded(inSets, 'lock-'), POLL).toEqual(['lock-1-lock', 'lock-2-lock']);
      await holder.query('COMMIT');
      expect(await group).toEqual([]);
      expect(await succeeded(inSets, 'lock-')).toEqual(['lock-0-lock', 'lock-1-lock', 'lock-2-lock']);
    } finally {
      holder.release();
    }
  });

  test('with a bug in one item gives the others their outcome, and that one none', async () => {
    const items = ['fine', 'bug', 'fine'].map((reference, index) =>
      argumentsOf(inSets, { ...PAYMENT, key: `bug-${index}`, reference }, 'bug'),
    );
    expect(await inSets.runGroup(items, [failingFor(createPayment as SetOperation, 'bug')])).toEqual([1]);
    expect(await succeeded(inSets, 'bug-')).toEqual(['bug-0-bug', 'bug-2-bug']);
  });

  test('takes a key once, whichever of two sets comes first, and in whatever order they name their keys', async () => {
    const items = Array.from({ length: 20 }, (_, index) =>
      argumentsOf(inSets, { ...PAYMENT, key: `twice-${index}`, invoice: `invoice-${index % 3}` }, 'twice'),
    );
    const groups = await Promise.all([inSets.runGroup(items), inSets.runGroup([...items].reverse())]);
    expect(groups).toEqual([[], []]);
    expect(await succeeded(inSets, 'twice-')).toHaveLength(20);
    expect(await brokenControls(inSets.owner)).toEqual({});
  });
});

type Payment = {
  readonly key: string;
  readonly invoice: string;
  readonly amount: number;
  readonly currency: string;
  readonly bankAccountCode: string;
  readonly receivedOn: string;
  readonly actor: Member;
  readonly reference: string;
};

const PAYMENT: Omit<Payment, 'key'> = {
  invoice: 'invoice-1',
  amount: 1,
  currency: 'USD',
  bankAccountCode: '1000',
  receivedOn: '2026-03-01',
  actor: 'owner',
  reference: 'TRF-1',
};

/** Mostly payments that succeed, on few invoices and under few keys. */
function setOfPayments(): fc.Arbitrary<Payment[]> {
  const mostly = <T>(usual: T, ...others: T[]) =>
    fc.oneof({ weight: 9, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) });
  const payment = fc.record({
    key: fc.integer({ min: 0, max: 24 }).map((index) => `key-${index}`),
    invoice: fc.constantFrom('invoice-0', 'invoice-1', 'invoice-2', 'invoice-3', 'draft', 'none'),
    amount: fc.oneof(fc.integer({ min: 1, max: 400 }), fc.constant(90_000_000)),
    currency: mostly('USD', 'EUR'),
    bankAccountCode: mostly('1000', '1100', '9999'),
    receivedOn: mostly('2026-03-01', '2026-01-31', '2026-02-28', '2026-02-01'),
    actor: mostly<Member>('owner', 'auditor', 'stranger'),
    reference: fc.constantFrom('TRF-1', 'TRF-2'),
  });
  return fc.array(payment, { minLength: 2, maxLength: 12 });
}

function argumentsOf(books: OneCompany, payment: Payment, run: string): WriteArguments {
  const { key, invoice, actor, ...body } = payment;
  return books.argumentsOf({
    operation: 'createPayment',
    key: `${key}-${run}`,
    body: { ...body, invoiceId: invoiceId(invoice), method: 'bank_transfer' },
    actor,
  });
}

/** Of an invoice that {@link openBooks} makes. */
function invoiceId(key: string): string {
  return writeId(COMPANY_ID, 'createInvoice', key);
}

/** Four invoices that can be paid, one of them small, and a draft; February is closed. */
async function openBooks(): Promise<OneCompany> {
  const books = await openOneCompany();
  const run = (operation: string, key: string, body: object, params: Record<string, string> = {}) =>
    books.runAlone(books.argumentsOf({ operation, key, params, body: body as Record<string, unknown> }));
  await run('createCustomer', 'customer', { name: 'Customer', currency: 'USD' });
  for (const [key, unitPrice] of Object.entries({
    'invoice-0': 1_000_000,
    'invoice-1': 1_000_000,
    'invoice-2': 1_000_000,
    'invoice-3': 300,
    draft: 500,
  })) {
    await run('createInvoice', key, {
      customerId: writeId(COMPANY_ID, 'createCustomer', 'customer'),
      currency: 'USD',
      issueDate: '2026-01-15',
      dueDate: '2026-12-31',
      lines: [{ description: 'Work', quantity: '1', unitPrice, taxRateBasisPoints: 0, accountCode: '4000' }],
    });
    if (key !== 'draft') await run('finalizeInvoice', `finalize-${key}`, {}, { invoiceId: invoiceId(key) });
  }
  await run('updateCompanySettings', 'close', { expectedVersion: 1, booksClosedThrough: '2026-02-28' });
  return books;
}

function failingFor(operation: SetOperation, reference: string): Operation {
  const bug = () => new Error('A planted bug');
  return {
    ...operation,
    set: {
      ...operation.set,
      decide(state, input, context) {
        if (input.body['reference'] === reference) throw bug();
        return operation.set.decide(state, input, context);
      },
    },
    write: (tx, input, context) =>
      input.body['reference'] === reference ? Promise.reject(bug()) : operation.write(tx, input, context),
  };
}

async function succeeded({ owner }: OneCompany, prefix: string): Promise<string[]> {
  const { rows } = await owner.query<{ key: string }>(
    `SELECT idempotency_key AS key FROM idempotent_writes
     WHERE starts_with(idempotency_key, $1) AND outcome = 'succeeded' ORDER BY idempotency_key`,
    [prefix],
  );
  return rows.map(({ key }) => key);
}
