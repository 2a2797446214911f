import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { writeId } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import type { SetOperation } from '../../activities/write/run-set.ts';
import type { WriteArguments } from '../../workflows/messages.ts';
import { inForm } from '../support/form.ts';
import { expectSetsLikeSingleWrites, keys, mostly, type SetWrite } from '../support/set-equivalence.ts';
import { COMPANY_ID, type Member, type OneCompany, openOneCompany } from '../support/two-databases.ts';

const TIMEOUT_MS = 240_000;
const POLL = { timeout: 90_000 };

/** What the random writes must have come to, so that the comparison has compared it. */
const OUTCOMES = [
  ...['succeeded', 'cancelled', 'forbidden', 'invoice_not_found', 'invoice_not_payable', 'currency_mismatch'],
  ...['payment_exceeds_outstanding', 'account_not_usable', 'date_before_invoice', 'as_of_conflict', 'period_closed'],
];

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
      await expectSetsLikeSingleWrites({
        oneByOne,
        inSets,
        set: setOfPayments(),
        outcomes: OUTCOMES,
        numRuns: inForm({ short: 6, long: 80 }),
        limitMs: inForm({ short: 30_000, long: 120_000 }),
      });
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
function setOfPayments(): fc.Arbitrary<SetWrite[]> {
  const payment = fc.record({
    key: keys(),
    invoice: fc.constantFrom('invoice-0', 'invoice-1', 'invoice-2', 'invoice-3', 'refunded', 'draft', 'none'),
    amount: fc.oneof(fc.integer({ min: 1, max: 400 }), fc.constant(90_000_000)),
    currency: mostly('USD', 'EUR'),
    bankAccountCode: mostly('1000', '1100', '9999'),
    receivedOn: mostly('2026-03-01', '2026-01-14', '2026-02-28', '2026-02-01', '2026-03-10', '2026-03-20'),
    actor: mostly<Member>('owner', 'auditor', 'stranger'),
    reference: fc.constantFrom('TRF-1', 'TRF-2'),
  });
  return fc.array(payment.map(toWrite), { minLength: 1, maxLength: 12 });
}

function toWrite({ key, invoice, actor, ...body }: Payment): SetWrite {
  return {
    operation: 'createPayment',
    key,
    body: { ...body, invoiceId: invoiceId(invoice), method: 'bank_transfer' },
    actor,
  };
}

function argumentsOf(books: OneCompany, payment: Payment, run: string): WriteArguments {
  const write = toWrite(payment);
  return books.argumentsOf({ ...write, key: `${write.key}-${run}` });
}

/** Of an invoice that {@link openBooks} makes. */
function invoiceId(key: string): string {
  return writeId(COMPANY_ID, 'createInvoice', key);
}

/**
 * Five invoices that can be paid, and a draft; February is closed. One of them is small, and nearly all of another was paid
 * from the 5th of March until the 20th.
 */
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
    refunded: 1_000_000,
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
  const { operation, body } = toWrite({
    ...PAYMENT,
    ...{ key: 'of-refunded', invoice: 'refunded', amount: 999_000, receivedOn: '2026-03-05' },
  });
  await run(operation, 'of-refunded', body);
  const paymentId = writeId(COMPANY_ID, operation, 'of-refunded');
  await run('createRefund', 'refund', { paymentId, amount: 999_000, reason: 'Back', date: '2026-03-20' });
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
