import { copyFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { migrate } from '../../migrations/migrate.ts';
import { openUpgrade } from '../support/upgrade.ts';

const DATABASE = 'voids_migration_test';
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

/** What was paid and credited of 100, and whether the invoice is void; without a number, it is a draft. */
const INVOICES: Readonly<
  Record<string, readonly [number: number | null, paid: number, credited: number, isVoid: boolean]>
> = {
  draft: [null, 0, 0, false],
  finalized: [1, 0, 0, false],
  'partially paid': [2, 60, 10, false],
  paid: [3, 60, 40, false],
  void: [4, 0, 0, true],
};

/**
 * The texts of the statements by which the release before finalizes, reminds, pays and refunds. They read a function and no table,
 * so that no other dependency of theirs is what makes the server plan them anew.
 */
const OF_THE_RELEASE_BEFORE = {
  finalize: `SELECT id, number, customer_id, status, currency, issue_date, due_date, memo, subtotal_minor,
  tax_minor, total_minor, tax_rounding, paid_minor, credited_minor, due_minor, voided_on, void_reason, journal_entry_id,
  metadata, created_at FROM lock_invoices(p_company => $1, p_invoices => $2)`,
  remind: 'SELECT id, status FROM lock_invoice($1, $2)',
  claims: `SELECT id, status, currency, issue_date, due_minor, later
     FROM lock_claims(p_company => $1, p_invoices => $2, p_since => $3)`,
  refund: `SELECT id, invoice_id, amount_minor, refunded_minor, currency, received_on, bank_account
     FROM lock_payments(p_company => $1, p_payments => $2)`,
};

/** By name, so that each is prepared once on the connection, as a process does it. */
const prepared = async (name: keyof typeof OF_THE_RELEASE_BEFORE, values: unknown[]) =>
  (await client.query({ name, text: OF_THE_RELEASE_BEFORE[name], values })).rows;

test('the invoices that are there keep status and due, and the release before goes on, which can refund nothing that is void', async () => {
  const names = (await readdir(RELEASED)).filter((name) => /^\d{4}_.*\.sql$/.test(name)).toSorted();
  const at = names.findIndex((name) => name.endsWith('_ways_back_in_receivables.sql'));
  await apply(names.slice(0, at));
  // Without what they rest on, since this is about the columns: the triggers and foreign keys are off for them.
  await client.query("SET session_replication_role = 'replica'");
  for (const memo of Object.keys(INVOICES)) await insertInvoice(memo);
  await client.query("SET session_replication_role = 'origin'");
  const ids = async (table: string) =>
    (await client.query<{ company: string; id: string }>(`SELECT company_id AS company, id FROM ${table} ORDER BY id`))
      .rows;
  const invoices = await ids('invoices');
  const paid = await ids('payments');
  const told = async () => {
    const rows: Record<keyof typeof OF_THE_RELEASE_BEFORE, Record<string, unknown>[]> = {
      finalize: [],
      remind: [],
      claims: [],
      refund: [],
    };
    for (const { company, id } of invoices) {
      rows.finalize.push(...(await prepared('finalize', [company, [id]])));
      rows.remind.push(...(await prepared('remind', [company, id])));
      rows.claims.push(...(await prepared('claims', [company, [id], null])));
    }
    for (const { company, id } of paid) rows.refund.push(...(await prepared('refund', [company, [id]])));
    return rows;
  };
  const before = await told();
  expect(before.claims).toHaveLength(Object.keys(INVOICES).length);
  expect(before.finalize).toHaveLength(Object.keys(INVOICES).length);
  expect(before.remind).toHaveLength(Object.keys(INVOICES).length);
  expect(before.refund).toHaveLength(2);

  await apply(names.slice(at, at + 2));
  expect(await told()).toEqual(before);
  const { rows } = await client.query(
    'SELECT memo, status, due_minor::int AS due, written_off_minor::int AS off FROM invoices ORDER BY number NULLS FIRST',
  );
  expect(rows).toEqual([
    { memo: 'draft', status: 'draft', due: 100, off: 0 },
    { memo: 'finalized', status: 'finalized', due: 100, off: 0 },
    { memo: 'partially paid', status: 'partially_paid', due: 30, off: 0 },
    { memo: 'paid', status: 'paid', due: 0, off: 0 },
    { memo: 'void', status: 'void', due: 0, off: 0 },
  ]);

  await client.query("SET session_replication_role = 'replica'");
  await client.query(
    `UPDATE payments SET voided_on = received_on, void_reason = 'Wrong', void_entry_id = journal_entry_id, bounced = false`,
  );
  const { refund } = await told();
  expect(refund.map((row) => [row['amount_minor'], row['refunded_minor']])).toEqual([
    ['60', '60'],
    ['60', '60'],
  ]);
});

/**
 * The texts that the processes of the release before prepare, as its tests had them do: what `prepared` in
 * `activities/database.ts` was given. A process keeps them for as long as a connection lasts.
 */
const PREPARED = join(import.meta.dirname, '../support/prepared-before.json');

test('whatever the release before has prepared goes on, with the columns that it knows', async () => {
  const statements: readonly string[] = JSON.parse(await readFile(PREPARED, 'utf8'));
  const upgrade = await openUpgrade();
  onTestFinished(() => upgrade.drop());
  const { client: session } = upgrade;
  /** By role and statement, the error; what a role could not do before proves nothing. */
  const errors = async () => {
    const found = new Map<string, unknown>();
    for (const role of ['accubooks_app', 'accubooks_relay', 'accubooks_maintenance', 'accubooks_auditor', 'none']) {
      await session.query(`SET ROLE ${role}`);
      for (const [index, text] of statements.entries()) {
        const parameters = Math.max(0, ...[...text.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number)));
        const values = parameters === 0 ? '' : `(${Array(parameters).fill('NULL').join(', ')})`;
        const planned = session.query(`EXPLAIN EXECUTE s${index}${values}`);
        const error = await planned.then(
          () => undefined,
          (reason: unknown) => reason,
        );
        found.set(`${role}: ${text}`, error);
      }
    }
    await session.query('RESET ROLE');
    return found;
  };
  await upgrade.migrateUpTo('ways_back_in_receivables');
  for (const [index, text] of statements.entries()) await session.query(`PREPARE s${index} AS ${text}`);
  const before = await errors();
  await upgrade.migrateTheRest();
  // Each is looked at anew: it must have the columns and the rights that it had.
  await session.query('DISCARD PLANS');
  const after = [...(await errors())].filter(([statement]) => before.get(statement) === undefined);
  expect(after.length).toBeGreaterThan(statements.length);
  expect(after.filter(([, error]) => error !== undefined)).toEqual([]);
});

async function apply(names: readonly string[]): Promise<void> {
  for (const name of names) await copyFile(join(RELEASED, name), join(folder, name));
  await migrate({ connectionString: databaseUrl.href, folder });
}

async function insertInvoice(memo: string): Promise<void> {
  const [number, paid, credited, isVoid] = INVOICES[memo] ?? [null, 0, 0, false];
  const { rows } = await client.query(
    `INSERT INTO invoices (company_id, id, number, customer_id, currency, issue_date, due_date, memo, subtotal_minor, tax_minor,
       total_minor, paid_minor, credited_minor, voided_on, void_reason, journal_entry_id)
     VALUES (gen_random_uuid(), gen_random_uuid(), $1, gen_random_uuid(), 'USD', '2026-01-15', '2026-12-31', $2, 100, 0, 100,
       $3, $4, $5, $6, CASE WHEN $1::int IS NOT NULL THEN gen_random_uuid() END)
     RETURNING company_id, id`,
    [number, memo, paid, credited, isVoid ? '2026-02-01' : null, isVoid ? 'Wrong' : null],
  );
  if (paid === 0) return;
  const { company_id: company, id } = rows[0];
  await client.query(
    `WITH bank AS (
       INSERT INTO accounts (company_id, id, code, name, type, is_bank) VALUES ($1, gen_random_uuid(), '1000', 'Bank', 'asset', true)
       RETURNING id
     )
     INSERT INTO payments (company_id, id, number, invoice_id, amount_minor, currency, method, received_on, bank_account_id,
       journal_entry_id)
     SELECT $1, gen_random_uuid(), 1, $2, $3, 'USD', 'card', '2026-01-20', bank.id, gen_random_uuid() FROM bank`,
    [company, id, paid],
  );
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
