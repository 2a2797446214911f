import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeId } from '../../activities/identity.ts';
import { inStoredOrder } from '../../activities/json.ts';
import { inForm } from '../support/form.ts';
import { expectSetsLikeSingleWrites, keys, mostly, type SetWrite } from '../support/set-equivalence.ts';
import { COMPANY_ID, type Member, type OneCompany, openOneCompany } from '../support/two-databases.ts';

const TIMEOUT_MS = 240_000;
const POLL = { timeout: 90_000 };
const EFFORT = { numRuns: inForm({ short: 5, long: 60 }), limitMs: inForm({ short: 20_000, long: 60_000 }) };

/** So many small payments and invoices that some are still untouched when a set begins. */
const FRESH = inForm({ short: 8, long: 60 });

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
          ...['date_before_original', 'period_closed', 'as_of_conflict'],
        ],
        ...EFFORT,
      });
    },
    TIMEOUT_MS,
  );

  test.each([
    { at: 'invoices', free: { invoices: 3, payments: 3 + FRESH } },
    { at: 'payments', free: { invoices: 0, payments: 3 + FRESH } },
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
          `SELECT id FROM lock_refundable(p_company => $1, p_since => NULL,
           p_payments => ARRAY(SELECT id FROM payments ORDER BY invoice_id DESC, id DESC))`,
          [COMPANY_ID],
        );
        await expect.poll(() => waitingForLock(inSets), POLL).toBe(1);
        expect({ invoices: await countFree('invoices'), payments: await countFree('payments') }).toEqual(free);
        await holder.query('COMMIT');
        expect((await locked).rowCount).toBe(free.payments);
      } finally {
        await holder.query('ROLLBACK');
        await set.query('ROLLBACK');
        holder.release();
        set.release();
      }
    },
  );
});

describe('a set of credit notes', () => {
  let oneByOne: OneCompany;
  let inSets: OneCompany;
  beforeAll(async () => {
    [oneByOne, inSets] = await Promise.all([openCreditableInvoices(), openCreditableInvoices()]);
  });
  afterAll(async () => {
    await Promise.all([oneByOne.close(), inSets.close()]);
  });

  test(
    'leaves, item by item, what the same credit notes leave one by one in the same order',
    async () => {
      await expectSetsLikeSingleWrites({
        oneByOne,
        inSets,
        set: setOfCreditNotes(),
        outcomes: [
          ...['succeeded', 'cancelled', 'forbidden', 'invoice_not_found', 'invoice_not_creditable'],
          ...['invoice_line_not_found', 'credit_exceeds_line', 'credit_exceeds_due', 'date_before_original'],
          'period_closed',
        ],
        ...EFFORT,
      });
    },
    TIMEOUT_MS,
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

/** Mostly refunds that succeed, of a small payment and of three large ones, and under few keys. */
function setOfRefunds(): fc.Arbitrary<SetWrite[]> {
  const refund = fc.record({
    key: keys(),
    payment: fc.constantFrom('large-0', 'large-1', 'large-2', 'small', 'small', 'none'),
    amount: fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 1, max: 150 }) }, fc.constant(90_000_000)),
    // The payments are of the 10th of February, and February is closed.
    date: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom('2026-03-01', '2026-03-15') },
      fc.constantFrom('2026-02-09', '2026-02-10', '2026-02-28'),
    ),
    metadata: fc.option(fc.constantFrom({ ticket: 'T-1', by: 'Ann' }, {}), { nil: undefined }),
    actor: mostly<Member>('owner', 'auditor', 'stranger'),
  });
  return fc
    .tuple(fc.nat({ max: FRESH - 1 }), fc.array(refund, { minLength: 2, maxLength: 12 }))
    .map(([small, refunds]) =>
      refunds.map(({ key, payment, actor, metadata, ...body }) => ({
        operation: 'createRefund',
        key,
        body: {
          ...body,
          paymentId: writeId(COMPANY_ID, 'createPayment', payment === 'small' ? `small-${small}` : payment),
          reason: 'Too much',
          ...(metadata && { metadata }),
        },
        actor,
      })),
    );
}

/** Mostly credit notes that succeed, of the small lines of one invoice, some of the next one, and under few keys. */
function setOfCreditNotes(): fc.Arbitrary<SetWrite[]> {
  const note = fc.record({
    key: keys(),
    invoice: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(0, 0, 0, 1) }, fc.constantFrom('draft', 'void', 'none')),
    lines: fc.uniqueArray(
      fc.record({
        lineNumber: fc.oneof({ weight: 19, arbitrary: fc.constantFrom(1, 1, 2, 2, 3) }, fc.constant(5)),
        // So that several of them often come to the whole line.
        net: fc.constantFrom(10, 20),
      }),
      { minLength: 1, maxLength: 2, selector: ({ lineNumber }) => lineNumber },
    ),
    // The invoices are of the 15th of January, and February is closed.
    date: fc.oneof(
      { weight: 3, arbitrary: fc.constant('2026-03-01') },
      fc.constantFrom('2026-01-14', '2026-01-15', '2026-02-28'),
    ),
    actor: mostly<Member>('owner', 'auditor', 'stranger'),
  });
  return fc.tuple(fc.nat({ max: FRESH - 2 }), fc.array(note, { minLength: 4, maxLength: 16 })).map(([first, notes]) =>
    notes.map(({ key, invoice, actor, ...body }) => ({
      operation: 'createCreditNote',
      key,
      params: { invoiceId: invoiceId(typeof invoice === 'number' ? `invoice-${first + invoice}` : invoice) },
      body: { ...body, reason: 'Not as ordered' },
      actor,
    })),
  );
}

/** Invoices of two small lines with tax and a large one, and a discount on the first; every other one is paid up to less than its small lines. */
async function openCreditableInvoices(): Promise<OneCompany> {
  const books = await openOneCompany();
  const run = runIn(books);
  await run('createCustomer', 'customer', { name: 'Customer', currency: 'USD' });
  const lines = [
    { unitPrice: 40, taxRateBasisPoints: 825 },
    { unitPrice: 30, taxRateBasisPoints: 3_333 },
    { unitPrice: 1_000_000 },
    { unitPrice: -15, taxRateBasisPoints: 825 },
  ];
  for (let index = 0; index < FRESH; index += 1) {
    await finalizedInvoice(run, `invoice-${index}`, lines);
    await voidedNote(run, `invoice-${index}`);
    if (index % 2 === 1) await pay(run, `payment-${index}`, `invoice-${index}`, 1_000_040);
  }
  await draftInvoice(run, 'draft', lines);
  await finalizedInvoice(run, 'void', lines);
  await run('voidInvoice', 'void', { reason: 'Wrong', date: '2026-02-01' }, { invoiceId: invoiceId('void') });
  await run('updateCompanySettings', 'close', { expectedVersion: 1, booksClosedThrough: '2026-02-28' });
  return books;
}

/** Of half of its first two lines. */
async function voidedNote(run: Run, invoice: string): Promise<void> {
  const parts = { lines: [20, 15].map((net, index) => ({ lineNumber: index + 1, net })), date: '2026-02-01' };
  await run('createCreditNote', `void-${invoice}`, { ...parts, reason: 'Wrong' }, { invoiceId: invoiceId(invoice) });
  const creditNoteId = writeId(COMPANY_ID, 'createCreditNote', `void-${invoice}`);
  await run('voidCreditNote', `void-${invoice}`, { reason: 'Wrong', date: '2026-02-01' }, { creditNoteId });
}

/** Three large payments of two invoices, the last one refunded until the 15th of March, and small ones of a third; February is closed after them. */
async function openPaidInvoices(): Promise<OneCompany> {
  const books = await openOneCompany();
  const run = runIn(books);
  await run('createCustomer', 'customer', { name: 'Customer', currency: 'USD' });
  for (const invoice of ['two-payments', 'one-payment', 'small-payments']) {
    await finalizedInvoice(run, invoice, [{ unitPrice: 3_000_000 }]);
  }
  await pay(run, 'large-0', 'two-payments', 1_000_000);
  await pay(run, 'large-1', 'two-payments', 1_000_000);
  await pay(run, 'large-2', 'one-payment', 1_000_000);
  const paymentId = writeId(COMPANY_ID, 'createPayment', 'large-2');
  await run('createRefund', 'voided', { paymentId, amount: 1_000_000, reason: 'Wrong', date: '2026-02-20' });
  const refundId = writeId(COMPANY_ID, 'createRefund', 'voided');
  await run('voidRefund', 'void', { reason: 'Wrong', date: '2026-03-15' }, { refundId });
  for (let index = 0; index < FRESH; index += 1) await pay(run, `small-${index}`, 'small-payments', 300);
  await run('updateCompanySettings', 'close', { expectedVersion: 1, booksClosedThrough: '2026-02-28' });
  return books;
}

type Run = ReturnType<typeof runIn>;

function runIn(books: OneCompany) {
  return (operation: string, key: string, body: Record<string, unknown>, params: Record<string, string> = {}) =>
    books.runAlone(books.argumentsOf({ operation, key, params, body }));
}

async function finalizedInvoice(run: Run, key: string, lines: readonly object[]): Promise<void> {
  await draftInvoice(run, key, lines);
  await run('finalizeInvoice', `finalize-${key}`, {}, { invoiceId: invoiceId(key) });
}

async function draftInvoice(run: Run, key: string, lines: readonly object[]): Promise<void> {
  await run('createInvoice', key, {
    customerId: writeId(COMPANY_ID, 'createCustomer', 'customer'),
    currency: 'USD',
    issueDate: '2026-01-15',
    dueDate: '2026-12-31',
    lines: lines.map((line) => ({
      description: 'Work',
      quantity: '1',
      taxRateBasisPoints: 0,
      accountCode: '4000',
      ...line,
    })),
  });
}

async function pay(run: Run, key: string, invoice: string, amount: number): Promise<void> {
  const body = { invoiceId: invoiceId(invoice), amount, currency: 'USD', method: 'card', receivedOn: '2026-02-10' };
  await run('createPayment', key, { ...body, bankAccountCode: '1000' });
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
