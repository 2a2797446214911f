import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { checkMonth } from '../../activities/controls/check-month.ts';
import { type Database, openDatabase, type Tx } from '../../activities/database.ts';
import { findDueReminders } from '../../activities/events/due-reminders.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { readAsCompany } from '../../activities/read-as-company.ts';
import { readLedgerPage, readSnapshot } from '../../api/exports/ledger-lines.ts';
import type { ListReader, Read } from '../../api/reads/read.ts';
import { READS } from '../../api/reads/read-list.ts';
import { inReadTransaction } from '../../api/reads/read-transaction.ts';
import { createApprovalList } from '../../api/writes/approval-list.ts';
import { createWriteList } from '../../api/writes/list.ts';
import { cloneDatabase, type TestDatabase } from '../support/database.ts';
import { fillBooks } from '../support/filled-books.ts';
import { measured, type Work } from '../support/work-of-statements.ts';

/** Of each kind, in the books of the company that the statistics do not know. */
const DOCUMENTS = 300;
const LIMIT_MS = 60_000;

let clone: TestDatabase;
let database: Database;
let company: { company_id: string; user_id: string };
let invoice: { id: string; customer_id: string };
/** In the middle of the company's events. */
let event: { id: string };
/** Of the company, in all tables. */
let rowsOfCompany: number;
beforeAll(async () => {
  clone = await cloneDatabase();
  const tables = await tablesOfCompanies();
  for (const name of tables) await clone.owner.query(`ALTER TABLE ${name} SET (autovacuum_enabled = off)`);
  await makeCompany('Known', 2 * DOCUMENTS);
  await clone.owner.query('ANALYZE');
  company = await makeCompany('Unknown', DOCUMENTS);
  const counts = tables.map((name) => `SELECT count(*)::int AS count FROM ${name} WHERE company_id = $1`);
  const { rows } = await clone.owner.query(
    `SELECT sum(count)::int AS sum FROM (${counts.join(' UNION ALL ')}) AS counted`,
    [company.company_id],
  );
  rowsOfCompany = rows[0].sum;
  const first = await clone.owner.query('SELECT id, customer_id FROM invoices WHERE company_id = $1 AND number = 1', [
    company.company_id,
  ]);
  invoice = first.rows[0];
  const events = await clone.owner.query(
    'SELECT id FROM outbox WHERE company_id = $1 ORDER BY sequence OFFSET $2 LIMIT 1',
    [company.company_id, DOCUMENTS / 2],
  );
  event = events.rows[0];
  database = openDatabase({
    connectionString: clone.appUrl,
    writePoolMax: 1,
    readPoolMax: 1,
    statementTimeoutMs: LIMIT_MS,
    applicationName: 'test',
  });
}, 120_000);
afterAll(async () => {
  await database.writes.close();
  await database.reads.close();
  await clone.drop();
});

async function tablesOfCompanies(): Promise<readonly string[]> {
  const { rows } = await clone.owner.query<{ name: string }>(
    `SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id'
     WHERE c.relkind = 'r' AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace`,
  );
  return rows.map(({ name }) => name);
}

async function makeCompany(name: string, documents: number) {
  const made = await clone.owner.query("SELECT * FROM create_company($1, lower($1) || '@example.test', 'USD')", [name]);
  await fillBooks(clone.name, made.rows[0].company_id, documents);
  return made.rows[0];
}

/** What a read does in a transaction like that of the API. */
function workOfRead(read: (tx: Tx, reader: ListReader) => Promise<unknown>): Promise<Work> {
  const caller = { companyId: company.company_id, subject: company.user_id };
  return inReadTransaction({ database, caller, limitMs: LIMIT_MS }, async (tx, reader) => {
    const { tx: measuredTx, work } = measured(tx);
    await read(measuredTx, { ...reader, cursors: { encode: () => 'next', decode: () => [] } as never });
    return work;
  });
}

/** What a workflow's activity does. */
function workOfCheck(check: (tx: Tx) => Promise<unknown>): Promise<Work> {
  return readAsCompany(database.reads, company.company_id, async (tx) => {
    const { tx: measuredTx, work } = measured(tx);
    await check(measuredTx);
    return work;
  });
}

const LISTS_AND_REPORTS = [
  ...READS,
  createWriteList(OPERATIONS, {} as never),
  createApprovalList(OPERATIONS, {} as never),
].filter(
  // The log of refusals is not filled; a resource is read by its ID, all but an invoice with what happened to it.
  ({ answers, path }) =>
    (answers.kind !== 'one' && path !== '/api/security-log') || path === '/api/invoices/:invoiceId',
);

/** Values for the filters that look something up, or that few rows of a list pass. */
const FILTERS: readonly (readonly [name: string, value: () => string])[] = [
  ['asOf', () => '2025-12-31'],
  ['customerId', () => invoice.customer_id],
  ['invoiceId', () => invoice.id],
  ['accountCode', () => '1100'],
  // To which nothing is posted.
  ['accountCode', () => '3000'],
  ['status', () => 'void'],
  ['order', () => 'oldest'],
  ['after', () => event.id],
];

/** What a report cannot do without, where its schema would give it. */
const REQUIRED: Readonly<Record<string, Record<string, unknown>>> = {
  '/api/reports/bank-reconciliation': { accountCode: '1000' },
};

/** Reports that read the books several times: for each sub-ledger, or for the sums and the lists of either side. */
const PASSES: Readonly<Record<string, number>> = { '/api/reports/tie-out': 6, '/api/reports/bank-reconciliation': 6 };

/**
 * How many pages a row of the company may cost; one where nothing is said. Each of the four statements of the bank
 * reconciliation reads the entries, the lines and the matches to their end, once or twice, by an index: a page for each row.
 */
const PAGES: Readonly<Record<string, number>> = { '/api/reports/bank-reconciliation': 3 };

type Variant = { readonly name: string; readonly read: Read; readonly query: () => Record<string, unknown> };

function variantsOf(read: Read): readonly Variant[] {
  const page = read.answers.kind === 'list' ? { limit: 200 } : (REQUIRED[read.path] ?? {});
  const filters = FILTERS.filter(([name]) => name in (read.query as z.ZodObject).shape && !(name in page));
  return [
    { name: read.path, read, query: () => page },
    ...filters.map(([name, value]) => ({
      name: `${read.path} by ${name}`,
      read,
      query: () => ({ ...page, [name]: value() }),
    })),
  ];
}

describe('work for a company that the statistics do not know', () => {
  test.each(LISTS_AND_REPORTS.flatMap(variantsOf))(
    'grows with its rows: $name',
    { timeout: 120_000 },
    async ({ read, query }) => {
      const params = { code: '1100', invoiceId: invoice.id };
      const { rows, buffers } = await workOfRead((tx, reader) => read.read(tx, { params, query: query() }, reader));
      expect(rows).toBeLessThan((PASSES[read.path] ?? 3) * rowsOfCompany);
      expect(buffers).toBeLessThan((PAGES[read.path] ?? 1) * rowsOfCompany);
    },
  );

  test('grows with its rows: a page of the general ledger', { timeout: 120_000 }, async () => {
    const { rows, buffers } = await workOfRead(async (tx, { roles }) => {
      const snapshot = await readSnapshot(tx);
      const { lines } = await readLedgerPage(tx, { from: undefined, to: '2026-12-31', roles, snapshot }, undefined);
      expect(lines).toHaveLength(400);
    });
    expect(rows).toBeLessThan(3 * rowsOfCompany);
    expect(buffers).toBeLessThan(rowsOfCompany);
  });

  test('grows with its rows: the checks before a month is closed', { timeout: 120_000 }, async () => {
    const found: unknown[] = [];
    const { rows, buffers } = await workOfCheck(async (tx) =>
      found.push(...(await checkMonth(tx, '2025-12-31')).faults),
    );
    // The books are right: every check has read them to the end.
    expect(found).toEqual([]);
    expect(rows).toBeLessThan(40 * rowsOfCompany);
    expect(buffers).toBeLessThan(15 * rowsOfCompany);
  });

  test('grows with its rows: the reminders that are due', { timeout: 120_000 }, async () => {
    const { rows, buffers } = await workOfCheck((tx) => findDueReminders(tx, '2026-12-31'));
    expect(rows).toBeLessThan(3 * rowsOfCompany);
    expect(buffers).toBeLessThan(rowsOfCompany);
  });
});

describe('work for what comes after an event', () => {
  const read = READS.find(({ path }) => path === '/api/events') as Read;
  const after = (limit: number) =>
    workOfRead((tx, reader) => read.read(tx, { params: {}, query: { limit, after: event.id } }, reader));

  test('is that of the page: the event, and one row more than it has', { timeout: 120_000 }, async () => {
    const { rows, buffers } = await after(10);
    // Each is counted by the scan and by the limit above it.
    expect(rows).toBeLessThanOrEqual(2 * (1 + 11));
    expect(buffers).toBeLessThan(40);
  });
});

describe('work for a company that the statistics know', () => {
  test('is planned anew: a plan that is kept may be that of another company', async () => {
    const caller = { companyId: company.company_id, subject: company.user_id };
    const mode = await inReadTransaction({ database, caller, limitMs: LIMIT_MS }, (tx) =>
      tx.query("SELECT current_setting('plan_cache_mode') AS mode"),
    );
    expect(mode).toEqual([{ mode: 'force_custom_plan' }]);
  });

  test('is by keys: a page of what was posted to an account looks its entries up', { timeout: 120_000 }, async () => {
    const { rows: known } = await clone.owner.query(
      `SELECT c.id AS company_id, m.user_id FROM companies c JOIN memberships m ON m.company_id = c.id WHERE c.name = 'Known'`,
    );
    const read = READS.find(({ path }) => path === '/api/ledger/entries') as Read;
    company = known[0];
    const query = { limit: 20, accountCode: '1100' };
    const { rows } = await workOfRead((tx, reader) => read.read(tx, { params: {}, query }, reader));
    expect(rows).toBeLessThan(1_000);
  });
});
