import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BatchRow } from '../../activities/batches/batch-row.ts';
import { type Database, openDatabase, type Tx } from '../../activities/database.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createBatchList } from '../../api/batches/list.ts';
import { readErrors } from '../../api/batches/resource.ts';
import { readResults } from '../../api/batches/results.ts';
import type { ListReader } from '../../api/reads/read.ts';
import { inReadTransaction } from '../../api/reads/read-transaction.ts';
import { cloneDatabase, type TestDatabase } from '../support/database.ts';
import { measured } from '../support/work-of-statements.ts';

const CHUNKS = 2_000;
const ROWS = 500;
/** Rows of tables, for what is about a few chunks: far from all of them. */
const FEW = 100;

let clone: TestDatabase;
let database: Database;
let client: pg.Client;
let version: string;
let company: { company_id: string; user_id: string };
let batch: BatchRow;
beforeAll(async () => {
  clone = await cloneDatabase();
  for (const table of ['batches', 'batch_chunks']) {
    await clone.owner.query(`ALTER TABLE ${table} SET (autovacuum_enabled = off)`);
  }
  const known = await makeCompany('Known');
  for (let made = 0; made < 200; made += 1) await makeBatch(known, 2);
  await clone.owner.query('ANALYZE');
  company = await makeCompany('Unknown');
  batch = await makeBatch(company, CHUNKS);
  database = openDatabase({
    connectionString: clone.appUrl,
    writePoolMax: 1,
    readPoolMax: 1,
    statementTimeoutMs: 60_000,
    applicationName: 'test',
  });
  client = new pg.Client({ connectionString: clone.appUrl });
  await client.connect();
  const { rows } = await clone.owner.query('SELECT version FROM verification');
  version = rows[0].version;
}, 240_000);
afterAll(async () => {
  await client.end();
  await database.writes.close();
  await database.reads.close();
  await clone.drop();
});

async function makeCompany(name: string) {
  const { rows } = await clone.owner.query("SELECT * FROM create_company($1, lower($1) || '@example.test', 'USD')", [
    name,
  ]);
  return rows[0];
}

/** A batch that is queued. Its first and its last chunk have a row that was refused. */
async function makeBatch(of: { company_id: string; user_id: string }, chunks: number): Promise<BatchRow> {
  const [id, upload] = [randomUUID(), randomUUID()];
  const { rows } = await clone.owner.query(
    `INSERT INTO batches (company_id, id, batch_key, state, operations, schema_versions, upload_id, file_sha256, row_count, chunk_count, user_id,
       request_id, queued_at, refused)
     VALUES ($1, $2::uuid, $2::text, 'queued', '{createPayment}', '{1}', $3, $4, $5, $6, $7, 'r', now(), 2) RETURNING *`,
    [of.company_id, id, upload, 'a'.repeat(64), chunks * ROWS, chunks, of.user_id],
  );
  await clone.owner.query(
    `INSERT INTO batch_chunks (company_id, batch_id, upload_id, chunk, first_row, row_count, content, digests, conflicts, outcomes,
       pending, faults, problems)
     SELECT $1, $2, $3, i, (i - 1) * $4 + 1, $4, 'x', decode(repeat('00', 16 * $4), 'hex'), 0,
       CASE WHEN i IN (1, $5) THEN 'u' ELSE '.' END || repeat('.', $4 - 1), CASE WHEN i IN (1, $5) THEN $4 - 1 ELSE $4 END,
       CASE WHEN i IN (1, $5) THEN 1 ELSE 0 END,
       CASE WHEN i IN (1, $5) THEN '{"0":{"code":"validation_failed","detail":"d"}}' ELSE '{}' END::jsonb
     FROM generate_series(1, $5::integer) AS i`,
    [of.company_id, id, upload, ROWS, chunks],
  );
  return rows[0];
}

/** How many rows of the tables of batches the work has read. */
async function rowsRead(work: () => Promise<unknown>): Promise<number> {
  await client.query('BEGIN');
  await work();
  const { rows } = await client.query(
    `SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int AS read FROM pg_stat_xact_user_tables
     WHERE relname IN ('batches', 'batch_chunks')`,
  );
  await client.query('SELECT pg_stat_force_next_flush()');
  await client.query('COMMIT');
  return rows[0].read;
}

describe('work for a batch of two thousand chunks, of a company that the statistics do not know', () => {
  test('is that of a few chunks: claiming the next one, and recording what has become of it', async () => {
    const [run, outcomes] = [randomUUID(), 's'.repeat(ROWS)];
    for (let claimed = 1; claimed <= 12; claimed += 1) {
      const ids = [company.company_id, batch.id];
      let next = { kind: '', chunk: 0, claim: '' };
      const claiming = await rowsRead(async () => {
        const claim = 'SELECT kind, (chunk).chunk, (chunk).claim FROM claim_chunk($1, $2, $3, 1, $4)';
        next = (await client.query(claim, [...ids, run, version])).rows[0];
      });
      expect(next).toMatchObject({ kind: 'chunk', chunk: claimed });
      expect(claiming).toBeLessThan(FEW);
      const record = `SELECT * FROM record_chunk($1, $2, $3, $4, $5, $6, '{}', '{}', $7)`;
      const values = [...ids, batch.upload_id, next.chunk, next.claim, outcomes, version];
      expect(await rowsRead(() => client.query(record, values))).toBeLessThan(FEW);
    }
  });

  test('is that of a page: its results, its first errors, the list', async () => {
    const caller = { companyId: company.company_id, subject: company.user_id };
    const workOf = (read: Parameters<typeof inReadTransaction<unknown>>[1]) =>
      inReadTransaction({ database, caller, limitMs: 60_000 }, async (tx, reader, lookedUp) => {
        const { tx: measuredTx, work } = measured(tx);
        await read(measuredTx, reader, lookedUp);
        return work.rows;
      });
    expect(await workOf((tx) => readResults(tx, batch, { after: 700_000, limit: 1_000 }, OPERATIONS))).toBeLessThan(
      FEW,
    );
    const found: unknown[] = [];
    let statements = 0;
    const counting = (tx: Tx): Tx => ({
      query(text, values) {
        statements += 1;
        return tx.query(text, values);
      },
    });
    expect(await workOf(async (tx) => found.push(...(await readErrors(counting(tx), batch, OPERATIONS))))).toBeLessThan(
      FEW,
    );
    expect(statements).toBe(2);
    expect(found).toMatchObject([{ row: 1 }, { row: (CHUNKS - 1) * ROWS + 1 }]);
    const list = createBatchList(OPERATIONS, { url: undefined, namespace: '' });
    const cursors = { encode: () => 'next', decode: () => [] } as unknown as ListReader['cursors'];
    const query = { limit: 50 };
    expect(await workOf((tx, reader) => list.read(tx, { params: {}, query }, { ...reader, cursors }))).toBeLessThan(
      FEW,
    );
  });
});
