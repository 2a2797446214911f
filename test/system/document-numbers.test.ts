import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());

const DATE = '2026-02-10';

/** One request of each kind, and one that is rejected. */
const documentsOf = (invoiceId: string, paymentId: string) => ({
  payment: {
    prefix: 'RCT',
    path: '/api/payments',
    right: paymentBody(invoiceId),
    wrong: paymentBody(invoiceId, 10 ** 9),
  },
  creditNote: {
    prefix: 'CRN',
    path: `/api/invoices/${invoiceId}/credit-notes`,
    right: { lines: [{ lineNumber: 1, net: 100 }], reason: 'Discount', date: DATE },
    wrong: { lines: [{ lineNumber: 1, net: 10 ** 9 }], reason: 'Discount', date: DATE },
  },
  refund: {
    prefix: 'RFD',
    path: '/api/refunds',
    right: { paymentId, amount: 100, reason: 'Too much', date: DATE },
    wrong: { paymentId, amount: 10 ** 9, reason: 'Too much', date: DATE },
  },
});

const KINDS = ['payment', 'creditNote', 'refund'] as const;
const READS = { payment: '/api/payments', creditNote: '/api/credit-notes', refund: '/api/refunds' };

async function documents(company: Company) {
  const invoiceId = await company.invoice();
  const payment = await company.api.created('/api/payments', paymentBody(invoiceId, 1_000));
  return documentsOf(invoiceId, payment.id);
}

describe.each(KINDS)('a %s', (kind) => {
  test('has the next number of its kind in its company, and one that is rejected takes none', async () => {
    const [own, other] = [await system.company(), await system.company()];
    for (const company of [own, other]) {
      const { prefix, path, right, wrong } = (await documents(company))[kind];
      // The first payment is the one that is refunded.
      const first = kind === 'payment' ? 2 : 1;
      for (const number of [first, first + 1]) {
        expect((await company.api.post(path, wrong)).status).toBe(422);
        expect((await company.api.created(path, right)).number).toBe(`${prefix}-00000${number}`);
      }
    }
  });

  test('is read, listed and told in its event with the number that was answered, and a replay has the same bytes', async () => {
    const company = await system.company();
    const { path, right } = (await documents(company))[kind];
    const key = randomUUID();
    const answer = await company.api.post(path, right, { key });
    const made = answer.json;
    expect(await company.api.post(path, right, { key })).toMatchObject({ replayed: true, text: answer.text });
    expect((await company.api.get(`${READS[kind]}/${made.id}`)).json).toEqual(made);
    expect((await company.api.get(READS[kind])).json.items[0]).toEqual(made);
    const { rows } = await system.owner.query("SELECT payload ->> 'number' AS number FROM outbox WHERE write_id = $1", [
      made.id,
    ]);
    expect(rows).toEqual([{ number: made.number }]);
  });

  test('goes on after 999999', async () => {
    const company = await system.company();
    const { prefix, path, right } = (await documents(company))[kind];
    const table = { payment: 'payments', creditNote: 'credit_notes', refund: 'refunds' }[kind];
    await company.api.created(path, right);
    await system.owner.query(
      'UPDATE number_counters SET last_number = 999999, lost_numbers = 999999 - last_number WHERE company_id = $1 AND kind = $2',
      [company.id, { payment: 'payment', creditNote: 'credit_note', refund: 'refund' }[kind]],
    );
    const made = await company.api.created(path, right);
    expect(made.number).toBe(`${prefix}-1000000`);
    expect((await company.api.get(`${READS[kind]}/${made.id}`)).json).toEqual(made);
    const { rows } = await system.owner.query(`SELECT number FROM ${table} WHERE id = $1`, [made.id]);
    expect(rows).toEqual([{ number: 1_000_000 }]);
  });
});

describe('a payment', () => {
  test('that was answered before there were numbers is answered as it was', async () => {
    const company = await system.company();
    const [key, body] = [randomUUID(), paymentBody(await company.invoice())];
    const answer = await company.api.post('/api/payments', body, { key });
    const { number, ...before } = answer.json;
    const client = await system.owner.connect();
    try {
      await client.query("BEGIN; SELECT set_config('session_replication_role', 'replica', true)");
      await client.query(
        'UPDATE idempotent_writes SET response_body = $3 WHERE company_id = $1 AND idempotency_key = $2',
        [company.id, key, Buffer.from(JSON.stringify(before))],
      );
      await client.query('COMMIT');
    } finally {
      client.release();
    }
    const again = await company.api.post('/api/payments', body, { key });
    expect([again.status, again.text]).toEqual([201, JSON.stringify(before)]);
    expect((await company.api.get(`/api/payments/${before.id}`)).json).toEqual({ ...before, number });
  });

  test('that is inserted without a number takes the next one, and two never have the same', async () => {
    const company = await system.company();
    await company.api.created('/api/payments', paymentBody(await company.invoice()));
    const client = await system.owner.connect();
    try {
      await client.query('BEGIN');
      const copy = (columns: string, values: string) =>
        client.query(
          `INSERT INTO payments (company_id, id, invoice_id, amount_minor, currency, method, received_on, bank_account_id,
             journal_entry_id${columns})
           SELECT company_id, gen_random_uuid(), invoice_id, amount_minor, currency, method, received_on, bank_account_id,
             journal_entry_id${values}
           FROM payments WHERE company_id = $1 AND number = 1 RETURNING number`,
          [company.id],
        );
      expect((await copy('', '')).rows).toEqual([{ number: 2 }]);
      expect((await copy('', '')).rows).toEqual([{ number: 3 }]);
      await expect(copy(', number', ', 1')).rejects.toMatchObject({ code: '23505', constraint: 'payments_number_key' });
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });
});

test('a set takes its numbers with a lock timeout of its own, a single write with that of its transaction, which is as before afterwards', async () => {
  const company = await system.company();
  const client = await system.owner.connect();
  try {
    for (const [timeout, count, during] of [
      ['100ms', 3, '1s'],
      ['100ms', 1, '100ms'],
      ['5s', 3, '5s'],
      ['0', 3, '0'],
    ]) {
      await client.query(`BEGIN; SET LOCAL lock_timeout = '${timeout}'`);
      await client.query(`
        CREATE FUNCTION pg_temp.note_timeout() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          PERFORM set_config('test.during', current_setting('lock_timeout'), true);
          RETURN NEW;
        END $$;
        CREATE TRIGGER note_timeout BEFORE INSERT ON number_counters
          FOR EACH ROW EXECUTE FUNCTION pg_temp.note_timeout()`);
      const { rows: taken } = await client.query("SELECT take_numbers($1, 'payment', $2) AS last", [company.id, count]);
      const { rows: shown } = await client.query(
        "SELECT current_setting('test.during') AS during, current_setting('lock_timeout') AS afterwards",
      );
      await client.query('ROLLBACK');
      expect([taken, shown]).toEqual([[{ last: count }], [{ during, afterwards: timeout }]]);
    }
  } finally {
    client.release();
  }
});

test.each([
  ['payments', 'payment-answers'],
  ['credit_notes', 'credit-note-answers'],
  ['refunds', 'refund-answers'],
])(
  'two numbers of %s that someone has swapped by SQL are named by %s and by the order of numbers',
  async (table, named) => {
    const company = await system.company();
    const { payment, creditNote, refund } = await documents(company);
    for (const { path, right } of [payment, creditNote, creditNote, refund, refund])
      await company.api.created(path, right);
    const client = await system.owner.connect();
    try {
      await client.query("BEGIN; SELECT set_config('session_replication_role', 'replica', true)");
      for (const [from, to] of [
        [1, 9],
        [2, 1],
        [9, 2],
      ]) {
        await client.query(`UPDATE ${table} SET number = $3 WHERE company_id = $1 AND number = $2`, [
          company.id,
          from,
          to,
        ]);
      }
      const { 'losses-told': _countedUp, ...broken } = await brokenControls(client);
      expect(Object.keys(broken)).toEqual([named, 'number-order']);
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  },
);

test('after all of these the books are right, but for the numbers that SQL has counted as lost', async () => {
  const { 'losses-told': countedUp, ...broken } = await brokenControls(system.owner);
  expect([countedUp?.map((row) => row['idempotency_key']).toSorted(), broken]).toEqual([
    ['credit_note numbers', 'payment numbers', 'refund numbers'],
    {},
  ]);
});
