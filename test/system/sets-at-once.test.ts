import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { until, untilWaiting } from '../support/held-invoice.ts';
import { invoiceId, openInvoiceBooks } from '../support/invoice-books.ts';
import { COMPANY_ID, type OneCompany } from '../support/two-databases.ts';

let books: OneCompany;
beforeEach(async () => {
  books = await openInvoiceBooks(10);
});
afterEach(() => books.close());

describe('invoice numbers run from 1 without a gap', () => {
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

describe('receipt numbers run from 1 without a gap, in the order of the set', () => {
  const INVOICES = [0, 1, 2, 3];
  beforeEach(async () => {
    for (const draft of INVOICES) {
      const params = { invoiceId: invoiceId(draft) };
      await books.runAlone(
        books.argumentsOf({ operation: 'finalizeInvoice', key: `issued-${draft}`, params, body: {} }),
      );
    }
  });

  /** Each third one is rejected: more than is due. */
  const payments = (count: number, run: string, amount = 10) =>
    Array.from({ length: count }, (_, position) =>
      books.argumentsOf({
        operation: 'createPayment',
        key: `${run}-${String(position).padStart(3, '0')}`,
        body: {
          invoiceId: invoiceId(position % INVOICES.length),
          amount: position % 3 === 0 ? 1_000_000 : amount,
          currency: 'USD',
          method: 'card',
          receivedOn: '2026-03-10',
        },
      }),
    );

  /** What the answers tell, by key; each as its row has it, by a control. */
  async function expectNumbers(): Promise<readonly (readonly [key: string, number: string])[]> {
    const { rows } = await books.owner.query(
      `SELECT idempotency_key AS key, convert_from(response_body, 'UTF8')::jsonb ->> 'number' AS number
       FROM idempotent_writes WHERE operation = 'createPayment' AND outcome = 'succeeded' ORDER BY number`,
    );
    expect(rows.map(({ number }) => number)).toEqual(
      rows.map((_, index) => `RCT-${String(index + 1).padStart(6, '0')}`),
    );
    expect(await brokenControls(books.owner)).toEqual({});
    return rows.map(({ key, number }) => [key, number] as const);
  }

  test('when sets and single writes ask for the first ones at the same moment, some in vain', async () => {
    const [sets, alone] = [['one', 'two', 'three'].map((run) => payments(20, run)), payments(8, 'alone')];
    const left = await Promise.all([
      ...sets.map((items) => books.runGroup(items)),
      ...alone.map((args) => books.runAlone(args)),
    ]);
    expect(left.flat().filter((one) => one !== undefined)).toEqual([]);
    // Of 20, seven are rejected, and of 8, three.
    expect(await expectNumbers()).toHaveLength(3 * 13 + 5);
  });

  test('and the rows that a set hands over have them as they are stored', async () => {
    await books.runTogether(payments(3, 'before'));
    const rows = await books.runTogether(payments(9, 'later'));
    const told = new Map(await expectNumbers());
    const handedOver = [...rows].map(([key, row]) => [key, JSON.parse(row.response_body.toString()).number]);
    expect(handedOver.map(([, number]) => number).filter(Boolean)).toEqual(
      ['3', '4', '5', '6', '7', '8'].map((number) => `RCT-00000${number}`),
    );
    expect(handedOver).toEqual([...rows.keys()].map((key) => [key, told.get(key)]));
  });

  test('when a set is rolled back after it has taken some, and its writes are made one by one', async () => {
    const operations = OPERATIONS.map((operation) =>
      operation.name === 'createPayment' ? failingAtTheEnd(operation) : operation,
    );
    expect(await books.runGroup(payments(6, 'rolled back'), operations)).toEqual([]);
    expect(await expectNumbers()).toHaveLength(4);
  });

  test('and a set in which all are rejected takes none', async () => {
    expect((await books.runTogether(payments(6, 'too much', 1_000_000))).size).toBe(6);
    expect((await books.owner.query("SELECT FROM number_counters WHERE kind = 'payment'")).rowCount).toBe(0);
  });

  /** The set fails after its last statement; single writes go another way. */
  function failingAtTheEnd(operation: Operation): Operation {
    const { set } = operation;
    if (set === undefined) throw new Error('Bug! There is no form for sets');
    return {
      ...operation,
      set: { ...set, apply: (...args) => [...set.apply(...args), args[0].query('SELECT 1 / 0')] },
    };
  }
});

describe('a reference that is not committed yet', () => {
  const customers = (references: readonly string[], run: string) =>
    references.map((externalReference, index) =>
      books.argumentsOf({
        operation: 'createCustomer',
        key: `${run}-${index}`,
        body: { name: 'Customer', currency: 'USD', externalReference },
      }),
    );

  test('is waited for by the one write that asks for it, which is then rejected', async () => {
    const holder = await books.owner.connect();
    try {
      await holder.query('BEGIN');
      await holder.query(
        `INSERT INTO customers (company_id, id, name, currency, external_reference)
         VALUES ($1, gen_random_uuid(), 'Held', 'USD', 'CRM-1')`,
        [COMPANY_ID],
      );
      const group = books.runGroup(customers(['CRM-0', 'CRM-1', 'CRM-2'], 'held'));
      await until('the other two', async () => (await outcomes('held')).length === 2);
      await holder.query('COMMIT');
      expect(await group).toEqual([]);
    } finally {
      holder.release();
    }
    expect(await outcomes('held')).toEqual(['succeeded', REFERENCE_TAKEN, 'succeeded']);
  });

  test('goes to one of two sets that ask for it at the same moment', async () => {
    const references = Array.from({ length: 20 }, (_, index) => `CRM-${index}`);
    const groups = [customers(references, 'one'), customers([...references].reverse(), 'other')];
    expect(await Promise.all(groups.map((items) => books.runGroup(items)))).toEqual([[], []]);
    const all = [...(await outcomes('one')), ...(await outcomes('other'))];
    expect(all.filter((outcome) => outcome === 'succeeded')).toHaveLength(references.length);
    expect(all.filter((outcome) => outcome === REFERENCE_TAKEN)).toHaveLength(references.length);
  });

  const REFERENCE_TAKEN = 'Another customer has this external reference.';

  async function outcomes(run: string): Promise<string[]> {
    const { rows } = await books.owner.query(
      `SELECT coalesce(convert_from(response_body, 'UTF8')::jsonb ->> 'detail', outcome) AS outcome
       FROM idempotent_writes WHERE starts_with(idempotency_key, $1) ORDER BY idempotency_key`,
      [`${run}-`],
    );
    return rows.map(({ outcome }) => outcome);
  }
});
