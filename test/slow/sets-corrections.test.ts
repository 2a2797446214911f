import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeId } from '../../activities/identity.ts';
import { inStoredOrder } from '../../activities/json.ts';
import { inForm } from '../support/form.ts';
import { expectSetsLikeSingleWrites, keys, mostly, type SetWrite } from '../support/set-equivalence.ts';
import { COMPANY_ID, type Member, type OneCompany, openOneCompany } from '../support/two-databases.ts';

const TIMEOUT_MS = 240_000;
const POLL = { timeout: 30_000 };
const EFFORT = { numRuns: inForm({ short: 5, long: 60 }), limitMs: inForm({ short: 20_000, long: 60_000 }) };

describe('a set of refunds', () => {
  let oneByOne: OneCompany;
  let inSets: OneCompany;
  beforeAll(async () => {
    [oneByOne, inSets] = await Promise.all([openPaidInvoices(), openPaidInvoices()]);
  });
  afterAll(async () => {
    await Promise.all([oneByOne.close(), inSets.close()]);
  });

  test(
    'leaves, item by item, what the same refunds leave one by one in the same order',
    async () => {
      await expectSetsLikeSingleWrites({
        oneByOne,
        inSets,
        set: setOfRefunds(),
        outcomes: [
          ...['succeeded', 'cancelled', 'forbidden', 'payment_not_found', 'refund_exceeds_payment'],
          ...['date_before_original', 'period_closed'],
        ],
        ...EFFORT,
      });
    },
    TIMEOUT_MS,
  );

  test.each([
    { at: 'invoices', free: { invoices: 3, payments: 4 } },
    { at: 'payments', free: { invoices: 0, payments: 4 } },
  ])(
    'locks invoices before payments and by ID: waiting at the first of $at, it has none of these',
    async ({ at, free }) => {
      const [holder, set] = await Promise.all([inSets.owner.connect(), inSets.owner.connect()]);
      const countFree = async (table: string) =>
        (await holder.query(`SELECT 1 FROM ${table} FOR UPDATE SKIP LOCKED`)).rowCount;
      try {
        await Promise.all([holder.query('BEGIN'), set.query('BEGIN')]);
        await holder.query(`SELECT 1 FROM ${at} ORDER BY id LIMIT 1 FOR UPDATE`);
        const locked = set.query(
          `SELECT id FROM lock_payments(p_company => $1,
           p_payments => ARRAY(SELECT id FROM payments ORDER BY invoice_id DESC, id DESC))`,
          [COMPANY_ID],
        );
        await expect.poll(() => waitingForLock(inSets), POLL).toBe(1);
        expect({ invoices: await countFree('invoices'), payments: await countFree('payments') }).toEqual(free);
        await holder.query('COMMIT');
        expect((await locked).rowCount).toBe(4);
      } finally {
        await holder.query('ROLLBACK');
        await set.query('ROLLBACK');
        holder.release();
        set.release();
      }
    },
  );
});

test('an answer has the client’s notes in the order in which the database keeps them', async () => {
  const { owner, close } = await openOneCompany();
  try {
    const key = fc.oneof(
      fc.integer({ min: 0, max: 200 }).map(String),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 4 }),
    );
    const notes = fc.dictionary(
      key.filter((text) => !text.includes('\0')),
      fc.constant('note'),
      { maxKeys: 8, noNullPrototype: true },
    );
    await fc.assert(
      fc.asyncProperty(notes, async (sent) => {
        const { rows } = await owner.query('SELECT $1::jsonb AS kept', [JSON.stringify(sent)]);
        expect(JSON.stringify(inStoredOrder(sent))).toBe(JSON.stringify(rows[0].kept));
      }),
      { numRuns: inForm({ short: 200, long: 2_000 }) },
    );
  } finally {
    await close();
  }
});

/** Mostly refunds that succeed, of few payments and under few keys. */
function setOfRefunds(): fc.Arbitrary<SetWrite[]> {
  const refund = fc.record({
    key: keys(),
    payment: fc.constantFrom('payment-0', 'payment-1', 'payment-2', 'payment-3', 'none'),
    amount: fc.oneof(fc.integer({ min: 1, max: 400 }), fc.constant(90_000_000)),
    // The payments are of the 10th of February, and February is closed.
    date: mostly('2026-03-01', '2026-02-09', '2026-02-10', '2026-02-28'),
    metadata: fc.option(fc.constantFrom({ ticket: 'T-1', by: 'Ann' }, {}), { nil: undefined }),
    actor: mostly<Member>('owner', 'auditor', 'stranger'),
  });
  return fc.array(
    refund.map(({ key, payment, actor, metadata, ...body }) => ({
      operation: 'createRefund',
      key,
      body: {
        ...body,
        paymentId: writeId(COMPANY_ID, 'createPayment', payment),
        reason: 'Too much',
        ...(metadata && { metadata }),
      },
      actor,
    })),
    { minLength: 2, maxLength: 12 },
  );
}

/** Four payments of three invoices, two of them of one, and one of them small; February is closed after them. */
async function openPaidInvoices(): Promise<OneCompany> {
  const books = await openOneCompany();
  const run = runIn(books);
  await run('createCustomer', 'customer', { name: 'Customer', currency: 'USD' });
  const payments = {
    'payment-0': 'invoice-0',
    'payment-1': 'invoice-0',
    'payment-2': 'invoice-1',
    'payment-3': 'invoice-2',
  };
  for (const invoice of new Set(Object.values(payments))) {
    await finalizedInvoice(run, invoice, [{ unitPrice: 3_000_000 }]);
  }
  for (const [key, invoice] of Object.entries(payments)) {
    await run('createPayment', key, {
      invoiceId: invoiceId(invoice),
      amount: key === 'payment-3' ? 300 : 1_000_000,
      currency: 'USD',
      method: 'bank_transfer',
      receivedOn: '2026-02-10',
    });
  }
  await run('updateCompanySettings', 'close', { expectedVersion: 1, booksClosedThrough: '2026-02-28' });
  return books;
}

type Run = ReturnType<typeof runIn>;

function runIn(books: OneCompany) {
  return (operation: string, key: string, body: Record<string, unknown>, params: Record<string, string> = {}) =>
    books.runAlone(books.argumentsOf({ operation, key, params, body }));
}

async function finalizedInvoice(run: Run, key: string, lines: readonly object[]): Promise<void> {
  await run('createInvoice', key, {
    customerId: writeId(COMPANY_ID, 'createCustomer', 'customer'),
    currency: 'USD',
    issueDate: '2026-01-15',
    dueDate: '2026-12-31',
    lines: lines.map((line) => ({ description: 'Work', quantity: '1', taxRateBasisPoints: 0, ...line })),
  });
  await run('finalizeInvoice', `finalize-${key}`, {}, { invoiceId: invoiceId(key) });
}

function invoiceId(key: string): string {
  return writeId(COMPANY_ID, 'createInvoice', key);
}

async function waitingForLock({ owner }: OneCompany): Promise<number> {
  const { rows } = await owner.query(
    `SELECT count(*)::int AS count FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return rows[0].count;
}
