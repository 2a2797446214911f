import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ChunkRow } from '../../activities/batches/batch-row.ts';
import { claimChunk, readSilentBatches, recordChunk, tidyBatches } from '../../activities/batches/batch-store.ts';
import { batchIdOf } from '../../activities/batches/identity.ts';
import { type Database, openDatabase, openPool, type Pool } from '../../activities/database.ts';
import { batchClient, ndjson } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';

/** The steps of a batch in PostgreSQL, without a worker: each attempt here does what a test makes of it. */
let system: System;
let database: Database;
let relay: Pool;
let version: string;
let company: Company;
let api: ReturnType<typeof batchClient>;
beforeAll(async () => {
  system = await startSystem();
  const { DATABASE_URL = '', RELAY_DATABASE_URL = '' } = system.environment;
  const shared = { statementTimeoutMs: 10_000, applicationName: 'test-claims' };
  database = openDatabase({ ...shared, connectionString: DATABASE_URL, writePoolMax: 4, readPoolMax: 1 });
  relay = openPool({ ...shared, connectionString: RELAY_DATABASE_URL, max: 1 });
  const { rows } = await system.owner.query('SELECT version FROM verification');
  version = rows[0].version;
});
beforeEach(async () => {
  company = await system.company();
  api = batchClient(system, company);
});
afterAll(async () => {
  await relay.close();
  await database.close();
  await system.stop();
});

const CHUNK = 500;
const KEPT_MS = 24 * 60 * 60_000;
const nameOf = (key: string) => ({ companyId: company.id, batchId: batchIdOf(company.id, key) });
const claim = (key: string, runId: string, loop: number, of = version) =>
  claimChunk(database.writes, nameOf(key), { runId, loop }, of);
const kindOf = async (key: string, runId: string, loop: number) => (await claim(key, runId, loop)).kind;
const record = (key: string, chunk: ChunkRow, outcomes: string, of = version) =>
  recordChunk(database.writes, nameOf(key), chunk, { outcomes, problems: {}, audit: {}, approvals: {} }, of);
const all = (outcome: string, chunk: ChunkRow) => outcome.repeat(chunk.row_count);
const stateOf = async (key: string) => (await api.status(key)).json.state;

async function claimed(key: string, runId: string, loop: number): Promise<ChunkRow> {
  const found = await claim(key, runId, loop);
  if (found.kind !== 'chunk') throw new Error(`The batch is ${found.kind}`);
  return found.chunk;
}

/** A batch of so many chunks; those of the given numbers name one and the same invoice. */
async function upload(key: string, chunks: number, sharing: readonly number[] = []): Promise<void> {
  const shared = randomUUID();
  const rows = Array.from({ length: chunks * CHUNK }, (_, index) => {
    const isShared = index % CHUNK === 0 && sharing.includes(index / CHUNK + 1);
    return { body: paymentBody(isShared ? shared : randomUUID()) };
  });
  const answer = await api.send(ndjson(rows), { key, operation: 'createPayment' });
  if (answer.status !== 202) throw new Error(answer.text);
}

describe('a chunk', () => {
  test('is given to the next attempt of who has claimed it, and nothing that the attempt before knew is recorded', async () => {
    await upload('attempts', 1);
    const first = await claimed('attempts', 'run', 1);
    const second = await claimed('attempts', 'run', 1);
    expect([second.chunk, second.claim === first.claim]).toEqual([first.chunk, false]);
    await expect(record('attempts', first, all('f', first))).rejects.toThrow('Another attempt');
    expect(await record('attempts', second, all('s', second))).toMatchObject({ succeeded: CHUNK, failed: 0 });
    expect(await kindOf('attempts', 'run', 1)).toBe('completed');
  });

  test('that an attempt claims after its time is taken up by the next activity of its loop', async () => {
    await upload('late', 2);
    const first = await claimed('late', 'run', 1);
    await record('late', first, all('s', first));
    // An attempt of the activity that is over has been frozen until now.
    const late = await claimed('late', 'run', 1);
    expect([late.chunk, await kindOf('late', 'run', 2)]).toEqual([2, 'blocked']);
    const taken = await claimed('late', 'run', 1);
    expect(taken.chunk).toBe(2);
    await record('late', taken, all('s', taken));
    expect(await kindOf('late', 'run', 2)).toBe('completed');
  });

  test('is taken over by the next run of the workflow, and by the one before it, without an outcome of both', async () => {
    await upload('runs', 2);
    const before = [await claimed('runs', 'first', 1), await claimed('runs', 'first', 2)];
    const after = [await claimed('runs', 'second', 1), await claimed('runs', 'second', 2)];
    expect(after.map(({ chunk }) => chunk)).toEqual([1, 2]);
    for (const chunk of before) await expect(record('runs', chunk, all('f', chunk))).rejects.toThrow('Another attempt');
    // An activity of the run that was terminated does not know of it yet.
    const stolen = await claimed('runs', 'first', 1);
    expect(stolen.chunk).toBe(1);
    await expect(record('runs', after[0] as ChunkRow, all('s', stolen))).rejects.toThrow('Another attempt');
    for (const chunk of [await claimed('runs', 'second', 1), after[1] as ChunkRow]) {
      await record('runs', chunk, all('s', chunk));
    }
    expect(await kindOf('runs', 'second', 1)).toBe('completed');
    expect((await api.status('runs')).json.counts).toMatchObject({ pending: 0, succeeded: 2 * CHUNK, failed: 0 });
  });

  test('that is tried again gets no outcome of the time before', async () => {
    await upload('again', 1);
    const frozen = await claimed('again', 'run', 1);
    const first = await claimed('again', 'run', 1);
    await record('again', first, all('f', first));
    expect(await kindOf('again', 'run', 1)).toBe('completed');
    expect((await api.control('again', 'retry-failed')).json.state).toBe('queued');
    const second = await claimed('again', 'run', 1);
    await expect(record('again', frozen, all('f', frozen))).rejects.toThrow('Another attempt');
    expect(await record('again', second, all('s', second))).toMatchObject({ succeeded: CHUNK, failed: 0 });
  });

  test('records what was found in a database only there', async () => {
    await upload('restored', 1);
    const chunk = await claimed('restored', 'run', 1);
    await expect(record('restored', chunk, all('s', chunk), randomUUID())).rejects.toMatchObject({ sqlState: '58AB1' });
    await expect(claim('restored', 'run', 1, randomUUID())).rejects.toMatchObject({ sqlState: '58AB1' });
    expect((await api.status('restored')).json.counts).toMatchObject({ pending: CHUNK, succeeded: 0 });
  });

  test('that names what an unfinished one names is passed over until that is done', async () => {
    await upload('order', 4, [1, 2, 4]);
    const first = await claimed('order', 'run', 1);
    const third = await claimed('order', 'run', 2);
    expect([first.chunk, third.chunk, await kindOf('order', 'run', 3)]).toEqual([1, 3, 'blocked']);
    await record('order', third, all('s', third));
    expect(await kindOf('order', 'run', 2)).toBe('blocked');
    await record('order', first, all('s', first));
    const second = await claimed('order', 'run', 1);
    expect([second.chunk, await kindOf('order', 'run', 2)]).toEqual([2, 'blocked']);
    await record('order', second, all('s', second));
    expect((await claimed('order', 'run', 2)).chunk).toBe(4);
  });

  test('that is further away than its conflicts are known waits', async () => {
    await upload('far', 10);
    const chunks = [];
    for (let loop = 1; loop <= 9; loop += 1) chunks.push(await claimed('far', 'run', loop));
    expect([chunks.at(-1)?.chunk, await kindOf('far', 'run', 10)]).toEqual([9, 'blocked']);
    await record('far', chunks[0] as ChunkRow, all('s', chunks[0] as ChunkRow));
    expect((await claimed('far', 'run', 10)).chunk).toBe(10);
  });
});

describe('a batch', () => {
  test('that was resumed waits for the one that runs, though a chunk of its own is ended meanwhile', async () => {
    await upload('first', 2);
    await upload('second', 1);
    await claimed('first', 'run', 1);
    expect(await kindOf('second', 'other', 1)).toBe('waiting');
    await api.control('first', 'pause');
    const other = await claimed('second', 'other', 1);
    await api.control('first', 'resume');
    // The attempt that had it was lost.
    const begun = await claimed('first', 'run', 1);
    expect([begun.chunk, await stateOf('first')]).toEqual([1, 'queued']);
    await record('first', begun, all('s', begun));
    expect([await kindOf('first', 'run', 1), await stateOf('second')]).toEqual(['waiting', 'running']);
    await record('second', other, all('s', other));
    expect(await kindOf('second', 'other', 1)).toBe('completed');
    expect((await claimed('first', 'run', 1)).chunk).toBe(2);
  });

  test('that is paused or cancelled ends what it has begun, and no more', async () => {
    for (const [key, action, state] of [
      ['paused', 'pause', 'paused'],
      ['cancelled', 'cancel', 'cancelled'],
    ] as const) {
      await upload(key, 2);
      await claimed(key, 'run', 1);
      await api.control(key, action);
      const begun = await claimed(key, 'run', 1);
      expect(begun.chunk).toBe(1);
      await record(key, begun, all('s', begun));
      expect([await kindOf(key, 'run', 1), await stateOf(key)]).toEqual([state, state]);
    }
    expect((await api.status('paused')).json.counts).toMatchObject({ succeeded: CHUNK, pending: CHUNK });
    expect((await api.status('cancelled')).json.counts).toMatchObject({
      succeeded: CHUNK,
      cancelled: CHUNK,
      pending: 0,
    });
  });

  test('is not completed where rows are pending whose chunk is gone', async () => {
    await upload('gone', 2);
    const first = await claimed('gone', 'run', 1);
    await record('gone', first, all('s', first));
    const session = await system.owner.connect();
    // Past the trigger that keeps them.
    await session.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
    await session.query('DELETE FROM batch_chunks WHERE batch_id = $1 AND chunk = 2', [nameOf('gone').batchId]);
    await session.query('COMMIT');
    session.release();
    await expect(claim('gone', 'run', 1)).rejects.toMatchObject({ constraint: 'batches_completed' });
    expect(await stateOf('gone')).toBe('running');
  });

  test('whose workflow says nothing is woken, also if it was paused with a chunk begun, or the clock was set back', async () => {
    await upload('silent', 2);
    const { batchId } = nameOf('silent');
    const silent = async () => (await readSilentBatches(relay, 1_000)).some(({ id }) => id === batchId);
    const wasHeardOf = (woken: string, progress: string) =>
      system.owner.query(
        `UPDATE batches SET woken_at = clock_timestamp() + $2::interval, progress_at = clock_timestamp() + $3::interval
         WHERE id = $1`,
        [batchId, woken, progress],
      );
    await claimed('silent', 'run', 1);
    await wasHeardOf('0 s', '0 s');
    expect(await silent()).toBe(false);
    await wasHeardOf('-1 minute', '-1 minute');
    expect([await silent(), await silent()]).toEqual([true, false]);
    await wasHeardOf('1 hour', '1 hour');
    expect([await silent(), await silent()]).toEqual([true, false]);
    await api.control('silent', 'pause');
    expect([await silent(), await silent()]).toEqual([true, false]);
    const begun = await claimed('silent', 'run', 1);
    await record('silent', begun, all('s', begun));
    await wasHeardOf('-1 minute', '-1 minute');
    expect(await silent()).toBe(false);
  });
});

test('what uploads that were broken off have left is removed, and nothing of a batch', async () => {
  await upload('kept', 1);
  const { batchId } = nameOf('kept');
  const uploads = async () => {
    const { rows } = await system.owner.query('SELECT count(*)::int AS n FROM batch_chunks WHERE batch_id = $1', [
      batchId,
    ]);
    return rows[0].n;
  };
  await system.owner.query(
    `INSERT INTO batch_chunks (company_id, batch_id, upload_id, chunk, first_row, row_count, content, digests, conflicts, outcomes, pending)
     SELECT company_id, batch_id, gen_random_uuid(), chunk, first_row, row_count, content, digests, conflicts, outcomes, pending
     FROM batch_chunks WHERE batch_id = $1`,
    [batchId],
  );
  expect([await tidyBatches(relay, KEPT_MS, 100), await uploads()]).toEqual([0, 2]);
  await system.owner.query("UPDATE batch_chunks SET stored_at = clock_timestamp() - interval '3 hours'");
  // Who is about to make them the batch's has locked it.
  const session = await system.owner.connect();
  await session.query('BEGIN');
  await session.query('SELECT FROM batches WHERE id = $1 FOR UPDATE', [batchId]);
  expect([await tidyBatches(relay, KEPT_MS, 100), await uploads()]).toEqual([0, 2]);
  await session.query('COMMIT');
  session.release();
  expect([await tidyBatches(relay, KEPT_MS, 100), await uploads()]).toEqual([1, 1]);
  const chunk = await claimed('kept', 'run', 1);
  await record('kept', chunk, all('s', chunk));
  expect(await kindOf('kept', 'run', 1)).toBe('completed');
});

test('batches of a company that are paused and resumed at once never meet a deadlock', async () => {
  const keys = ['a', 'b', 'c'];
  for (const key of keys) await upload(key, 1);
  const answers = await Promise.all(
    Array.from({ length: 10 }, () =>
      keys.flatMap((key) => [api.control(key, 'pause'), api.control(key, 'resume')]),
    ).flat(),
  );
  expect(answers.map(({ status }) => status).filter((status) => status !== 200 && status !== 409)).toEqual([]);
});
