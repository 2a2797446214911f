import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openUpgrade, type Upgrade } from '../support/upgrade.ts';

let upgrade: Upgrade;
let client: pg.Client;
beforeAll(async () => {
  upgrade = await openUpgrade();
  client = upgrade.client;
});
afterAll(() => upgrade.drop());

const COMPANIES = ['a', 'b'].map((digit) => `00000000-0000-0000-0000-00000000000${digit}`);
const id = (position: number) => `00000000-0000-0000-0000-${String(position).padStart(12, '0')}`;

/** Of each table: the company, the ID and the minute of each document, in the order in which they are inserted. */
const DOCUMENTS: readonly (readonly [company: number, position: number, minute: number])[] = [
  [0, 4, 2],
  [0, 3, 2],
  [1, 9, 1],
  [0, 5, 1],
  [1, 1, 3],
];
/** By time, then by ID. */
const NUMBERED = [
  { company_id: COMPANIES[0], id: id(5), number: 1 },
  { company_id: COMPANIES[0], id: id(3), number: 2 },
  { company_id: COMPANIES[0], id: id(4), number: 3 },
  { company_id: COMPANIES[1], id: id(9), number: 1 },
  { company_id: COMPANIES[1], id: id(1), number: 2 },
];

const COLUMNS = {
  payments: `invoice_id, amount_minor, currency, method, received_on, bank_account_id, journal_entry_id)
    SELECT $1::uuid, $2::uuid, timestamptz '2026-01-01' + $3 * interval '1 minute', $2, 1, 'USD', 'card', '2026-01-01', $2, $2`,
  refunds: `payment_id, amount_minor, refunded_on, reason, journal_entry_id)
    SELECT $1::uuid, $2::uuid, timestamptz '2026-01-01' + $3 * interval '1 minute', $2, 1, '2026-01-01', 'R', $2`,
  credit_notes: `invoice_id, currency, credited_on, net_minor, tax_minor, total_minor, reason, journal_entry_id)
    SELECT $1::uuid, $2::uuid, timestamptz '2026-01-01' + $3 * interval '1 minute', $2, 'USD', '2026-01-01', 1, 0, 1, 'R', $2`,
};

/** What the release before sends, prepared once per connection. */
const FINISH_SET = {
  name: 'finish-set',
  text: `SELECT finish_writes(p_company => $1, p_operation => 'createPayment', p_type => 'financial',
    p_resource_type => 'payment', p_event_kind => 'payment.created', p_items => '[]') AS completed_at`,
  values: [COMPANIES[0]],
};
const RECORD = {
  name: 'record',
  text: 'SELECT record_payments(p_company => $1, p_payments => $2)',
  values: [COMPANIES[0], JSON.stringify([7, 6].map((position) => paymentOfBefore(position)))],
};

function paymentOfBefore(position: number) {
  const ids = { id: id(position), invoice_id: id(position), bank_account_id: id(1), journal_entry_id: id(position) };
  return { ...ids, amount_minor: 1, currency: 'USD', method: 'card', received_on: '2026-01-01', metadata: {} };
}

test('what is there is numbered in its order, and the release before goes on', async () => {
  await upgrade.migrateUpTo('document_numbers');
  await upgrade.pastTriggers(async () => {
    for (const company of COMPANIES) {
      await client.query("INSERT INTO companies (id, name, base_currency) VALUES ($1, 'Acme', 'USD')", [company]);
    }
    for (const [table, columns] of Object.entries(COLUMNS)) {
      for (const [company, position, minute] of DOCUMENTS) {
        await client.query(`INSERT INTO ${table} (company_id, id, created_at, ${columns}`, [
          COMPANIES[company],
          id(position),
          minute,
        ]);
      }
    }
    await client.query(
      `INSERT INTO number_counters (company_id, kind, last_number) VALUES ('${COMPANIES[0]}', 'invoice', 8)`,
    );
  });
  expect((await client.query(FINISH_SET)).rows).toHaveLength(1);

  await upgrade.migrateTheRest();

  for (const table of Object.keys(COLUMNS)) {
    const { rows } = await client.query(`SELECT company_id, id, number FROM ${table} ORDER BY company_id, number`);
    expect([table, rows]).toEqual([table, NUMBERED]);
    await expect(client.query(`UPDATE ${table} SET number = number + 10`)).rejects.toMatchObject({ code: '23001' });
    await expect(client.query(`DELETE FROM ${table}`)).rejects.toMatchObject({ code: '23001' });
  }
  expect(await counters()).toEqual({
    ...{ 'a invoice': 8, 'a payment': 3, 'a refund': 3, 'a credit_note': 3 },
    ...{ 'b payment': 2, 'b refund': 2, 'b credit_note': 2 },
  });

  expect((await client.query(FINISH_SET)).rows).toEqual([{ completed_at: expect.any(Date) }]);
  await upgrade.pastTriggers(() => client.query(RECORD));
  const { rows } = await client.query(
    'SELECT id, number FROM payments WHERE company_id = $1 AND number > 3 ORDER BY number',
    [COMPANIES[0]],
  );
  expect(rows).toEqual([
    { id: id(7), number: 4 },
    { id: id(6), number: 5 },
  ]);
  expect(await counters()).toMatchObject({ 'a payment': 5, 'b payment': 2 });
});

async function counters(): Promise<Record<string, number>> {
  const { rows } = await client.query(
    'SELECT right(company_id::text, 1) AS company, kind, last_number FROM number_counters',
  );
  return Object.fromEntries(rows.map(({ company, kind, last_number }) => [`${company} ${kind}`, last_number]));
}
