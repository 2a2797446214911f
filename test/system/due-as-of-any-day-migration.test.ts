import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { migrate } from '../../migrations/migrate.ts';

const DATABASE = 'due_as_of_any_day_migration_test';
const RELEASED = join(import.meta.dirname, '../../migrations');

const databaseUrl = new URL(inject('superuserUrl'));
databaseUrl.pathname = `/${DATABASE}`;

let folder: string;
let client: pg.Client;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accubooks-migrate-'));
  await asSuperuser(`CREATE DATABASE ${DATABASE}`);
  client = new pg.Client({ connectionString: databaseUrl.href });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await asSuperuser(`DROP DATABASE ${DATABASE} WITH (FORCE)`);
  await rm(folder, { recursive: true });
});

/** Refunds, each by the payment that it is of, of invoices with their payments. */
const INVOICES: Readonly<
  Record<string, { readonly payments: number; readonly refunds: readonly (readonly [number, string])[] }>
> = {
  'never refunded': { payments: 2, refunds: [] },
  'refunded once': { payments: 1, refunds: [[0, '2026-03-01']] },
  'refunded by two payments, the later one first': {
    payments: 2,
    refunds: [
      [1, '2026-03-05'],
      [0, '2026-03-01'],
      [1, '2026-02-01'],
    ],
  },
};

test('the invoices that are there get the date of their latest refund, and the release before goes on', async () => {
  const names = (await readdir(RELEASED)).filter((name) => /^\d{4}_.*\.sql$/.test(name)).toSorted();
  const at = names.findIndex((name) => name.endsWith('_due_as_of_any_day.sql'));
  await apply(names.slice(0, at));
  // Without what they rest on, since this is about the dates alone: the triggers and foreign keys are off for them.
  await client.query("SET session_replication_role = 'replica'");
  for (const memo of Object.keys(INVOICES)) await insertInvoice(memo);
  await client.query("SET session_replication_role = 'origin'");
  const asBefore = {
    name: 'prepared-by-the-release-before',
    text: `SELECT l.id, l.status, l.currency, l.issue_date, l.due_minor FROM invoices i, lock_invoices(
             p_company => i.company_id, p_invoices => ARRAY[i.id]) AS l ORDER BY l.id`,
  };
  const { rows: locked } = await client.query(asBefore);
  expect(locked).toHaveLength(Object.keys(INVOICES).length);

  await apply([names[at] as string]);
  const { rows } = await client.query('SELECT memo, last_raised_on::text AS day FROM invoices');
  expect(Object.fromEntries(rows.map(({ memo, day }) => [memo, day]))).toEqual({
    'never refunded': null,
    'refunded once': '2026-03-01',
    'refunded by two payments, the later one first': '2026-03-05',
  });
  expect((await client.query(asBefore)).rows).toEqual(locked);
});

async function apply(names: readonly string[]): Promise<void> {
  for (const name of names) await copyFile(join(RELEASED, name), join(folder, name));
  await migrate({ connectionString: databaseUrl.href, folder });
}

async function insertInvoice(memo: string): Promise<void> {
  const { rows } = await client.query(
    `INSERT INTO invoices (company_id, id, number, customer_id, currency, issue_date, due_date, memo, subtotal_minor, tax_minor,
       total_minor, journal_entry_id)
     VALUES (gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), 'USD', '2026-01-15', '2026-12-31', $1, 100, 0, 100,
       gen_random_uuid())
     RETURNING company_id, id`,
    [memo],
  );
  const { company_id: company, id } = rows[0];
  const payments: string[] = [];
  for (let index = 0; index < (INVOICES[memo]?.payments ?? 0); index += 1) {
    const payment = await client.query(
      `INSERT INTO payments (company_id, id, invoice_id, amount_minor, currency, method, received_on, bank_account_id,
         journal_entry_id)
       VALUES ($1, gen_random_uuid(), $2, 10, 'USD', 'card', '2026-01-20', gen_random_uuid(), gen_random_uuid())
       RETURNING id`,
      [company, id],
    );
    payments.push(payment.rows[0].id);
  }
  for (const [payment, day] of INVOICES[memo]?.refunds ?? []) {
    await client.query(
      `INSERT INTO refunds (company_id, id, payment_id, amount_minor, refunded_on, reason, journal_entry_id)
       VALUES ($1, gen_random_uuid(), $2, 1, $3, 'Back', gen_random_uuid())`,
      [company, payments[payment], day],
    );
  }
}

async function asSuperuser(sql: string): Promise<void> {
  const superuser = new pg.Client({ connectionString: inject('superuserUrl') });
  await superuser.connect();
  try {
    await superuser.query(sql);
  } finally {
    await superuser.end();
  }
}
