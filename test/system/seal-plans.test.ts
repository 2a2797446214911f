import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { askAsAuditor, openAuditorPool } from '../../activities/auditor/auditor-pool.ts';
import { openPool, type Pool, transaction } from '../../activities/database.ts';
import { readSealedRows } from '../../activities/seal/read-log.ts';
import { sealLagSeconds } from '../../activities/seal/seal.ts';
import { companyMaker } from '../support/companies.ts';
import { cloneDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/held-invoice.ts';
import { openPreparation } from '../support/prepare.ts';
import { sealAll } from '../support/seals.ts';

/** What the sealer asks each second, and the auditor for each page, must not cost more for each row that there has ever been. */
const WRITES = 40;
const READ = [
  ...['journal_entries', 'journal_lines', 'accounts', 'idempotent_writes'],
  ...['sealed_entries', 'sealed_audit_rows', 'seal_batches', 'approval_requests', 'pay_runs'],
];

let clone: TestDatabase;
let owner: pg.PoolClient;
let sealer: Pool;
let auditor: Pool;
beforeAll(async () => {
  clone = await cloneDatabase();
  owner = await clone.owner.connect();
  // What the test counts itself must not look like a scan of the sealer's.
  await owner.query('SET enable_seqscan = off');
  // One connection each, which can be asked to report its statistics.
  sealer = openPool({
    ...{ connectionString: clone.sealerUrl, max: 1 },
    ...{ statementTimeoutMs: 10_000, applicationName: 'test-sealer' },
  });
  auditor = openAuditorPool(clone.auditorUrl, 1);
});
afterAll(async () => {
  await sealer.close();
  await auditor.close();
  owner.release();
  await clone.drop();
});

/** Makes writes, and waits until its connections have reported their statistics, as they do when they end. */
async function write(): Promise<void> {
  const { prepare, close } = openPreparation(clone.appUrl);
  const company = await companyMaker(clone.owner, '', { prepare })();
  const lines = [
    { accountCode: '1000', amount: 5_000 },
    { accountCode: '3000', amount: -5_000 },
  ];
  for (let n = 0; n < WRITES; n += 1) {
    const body = { date: '2026-02-01', description: `Capital ${n}`, currency: 'USD', lines };
    await prepare(company, 'createJournalEntry', body);
  }
  await close();
  await until('the connections to be over', async () => {
    const { rows } = await owner.query(
      "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'test-prepare'",
    );
    return rows.length === 0;
  });
}

/** How often each table was read from end to end. */
async function scans(): Promise<ReadonlyMap<string, number>> {
  for (const pool of [sealer, auditor]) await transaction(pool, (tx) => tx.query('SELECT pg_stat_force_next_flush()'));
  const { rows } = await owner.query<{ relname: string; seq_scan: string }>(
    `SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname = ANY ($1) OR relid IN (
       SELECT inhrelid FROM pg_inherits WHERE inhparent = 'idempotent_write_audit_log'::regclass)`,
    [READ],
  );
  return new Map(rows.map(({ relname, seq_scan }) => [relname, Number(seq_scan)]));
}

async function scannedBy(work: () => Promise<unknown>): Promise<readonly string[]> {
  const before = await scans();
  await work();
  return [...(await scans())].filter(([table, count]) => count !== before.get(table)).map(([table]) => table);
}

describe.each([
  ['before the tables were ever analyzed', async () => {}],
  // Small as they are, the planner would read all of them from end to end.
  ['once they were', async () => void (await owner.query('ANALYZE'))],
])('%s, the sealer looks its pages up by indexes', (_when, prepare) => {
  test.each([
    [
      'sweeps',
      "UPDATE seal_position SET phase = 'sweep entries', swept_company = DEFAULT, swept_entry = NULL, swept_until = DEFAULT",
    ],
    ['follows', "UPDATE seal_position SET phase = 'follow'"],
  ])('when it %s, and for its lag', async (_what, statement) => {
    await write();
    await prepare();
    await owner.query(statement);
    const { rows } = await owner.query('SELECT count(*)::int AS sealed FROM sealed_entries');
    const scanned = await scannedBy(async () => {
      await sealAll(sealer, 10);
      await sealLagSeconds(sealer);
    });
    expect(scanned).toEqual([]);
    const after = await owner.query('SELECT count(*)::int AS sealed FROM sealed_entries');
    expect(after.rows[0].sealed - rows[0].sealed).toBe(WRITES);
  });
});

test('the auditor looks each audit row of a page up in its month', async () => {
  await write();
  await sealAll(sealer);
  await owner.query('ANALYZE');
  const { rows } = await owner.query(
    'SELECT company_id AS id FROM sealed_audit_rows ORDER BY row_timestamp DESC LIMIT 1',
  );
  const ask = askAsAuditor(auditor);
  const asking = { query: async (sql: string, values?: unknown[]) => ({ rows: await ask(sql, values) }) };
  const scanned = await scannedBy(async () => {
    expect((await readSealedRows(asking as never, rows[0].id, 'audit', 1n, 5n)).size).toBe(5);
  });
  expect(scanned.filter((table) => /^y\d{4}m\d\d$/.test(table))).toEqual([]);
});
