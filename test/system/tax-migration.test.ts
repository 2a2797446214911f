import { randomUUID } from 'node:crypto';
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { migrate } from '../../migrations/migrate.ts';

const DATABASE = 'tax_migration_test';
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

test('lines that are there get their rate in the new column, and so do those of the release before', async () => {
  const names = (await readdir(RELEASED)).filter((name) => /^\d{4}_.*\.sql$/.test(name)).toSorted();
  const changing = names.findIndex((name) => name.endsWith('_tax_and_discounts.sql'));
  await apply(names.slice(0, changing));
  const { rows: made } = await client.query("SELECT company_id FROM create_company('Acme', 'owner@acme.test', 'USD')");
  const company: string = made[0].company_id;
  const customer = randomUUID();
  await client.query("INSERT INTO customers (company_id, id, name, currency) VALUES ($1, $2, 'Customer', 'USD')", [
    company,
    customer,
  ]);
  const record = async (id: string) =>
    client.query({
      name: 'prepared-by-the-release-before',
      text: 'SELECT record_invoices(p_company => $1, p_invoices => $2)',
      values: [company, JSON.stringify([await invoiceOf(company, customer, id)])],
    });
  const [before, after] = [randomUUID(), randomUUID()];
  await record(before);

  await apply(names.slice(changing));
  // Whatever the setting says: that release rounds by line.
  await client.query("UPDATE companies SET tax_rounding = 'document' WHERE id = $1", [company]);
  await record(after);
  const { rows } = await client.query(
    `SELECT i.id, i.tax_rounding, l.line_number, l.tax_rate_thousandths, l.tax_rate_basis_points,
       l.discount_thousandths, l.discount_minor::int
     FROM invoices i JOIN invoice_lines l ON l.company_id = i.company_id AND l.invoice_id = i.id
     ORDER BY i.created_at, l.line_number`,
  );
  expect(rows).toEqual(
    [before, after].flatMap((id) =>
      RATES.map((rate, index) => ({
        ...{ id, tax_rounding: 'line', line_number: index + 1 },
        ...{ tax_rate_thousandths: rate * 10, tax_rate_basis_points: rate },
        ...{ discount_thousandths: null, discount_minor: 0 },
      })),
    ),
  );
});

/** In basis points. 100 × 8.25 % = 8.25. */
const RATES = [825, 825, 825, 0];

/** As the release before gives it to the database. */
async function invoiceOf(company: string, customer: string, id: string) {
  const { rows } = await client.query("SELECT id FROM accounts WHERE company_id = $1 AND code = '4000'", [company]);
  return {
    ...{ id, customer_id: customer, currency: 'USD', issue_date: '2026-01-15', due_date: '2026-12-31', memo: null },
    ...{ subtotal_minor: '400', tax_minor: '24', total_minor: '424', metadata: {} },
    lines: RATES.map((rate, index) => ({
      ...{ line_number: index + 1, description: 'Work', quantity: '1', unit_price_minor: '100' },
      ...{ tax_rate_basis_points: rate, account_id: rows[0].id, net_minor: '100', tax_minor: rate === 0 ? '0' : '8' },
    })),
  };
}

async function apply(names: readonly string[]): Promise<void> {
  for (const name of names) await copyFile(join(RELEASED, name), join(folder, name));
  await migrate({ connectionString: databaseUrl.href, folder });
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
