import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tidyBatches } from '../../activities/batches/batch-store.ts';
import { openPool, type Pool } from '../../activities/database.ts';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';

const HOUR_MS = 3_600_000;
const FILE = ndjson([{ body: { name: 'One' } }, { body: { name: 2 } }, { body: { name: 'Three' } }]);
const OPERATION = 'createCustomer';

describe('what is kept of uploads', () => {
  let system: System;
  let company: Company;
  let api: ReturnType<typeof batchClient>;
  let worker: Awaited<ReturnType<typeof startBatchWorker>>;
  let relay: Pool;
  beforeAll(async () => {
    system = await startSystem();
    worker = await startBatchWorker(system);
    relay = openPool({
      connectionString: system.environment['RELAY_DATABASE_URL'] as string,
      max: 2,
      statementTimeoutMs: 10_000,
      applicationName: 'test-tidy',
    });
    company = await system.company();
    api = batchClient(system, company);
  });
  afterAll(async () => {
    await relay.close();
    await worker.close();
    await system.stop();
  });

  const tidy = () => tidyBatches(relay, HOUR_MS, 100);
  const chunksOf = async (key: string) =>
    (
      await system.owner.query(
        `SELECT c.upload_id = b.upload_id AS own, c.content IS NOT NULL AS kept, c.pending FROM batches b
         JOIN batch_chunks c ON c.company_id = b.company_id AND c.batch_id = b.id
         WHERE b.company_id = $1 AND b.batch_key = $2 ORDER BY c.upload_id = b.upload_id, c.chunk`,
        [company.id, key],
      )
    ).rows;
  /** As if all of it had happened so many hours earlier. */
  const age = async (key: string, hours: number) => {
    const earlier = (column: string) => `${column} = ${column} - make_interval(hours => $3)`;
    const values = [company.id, key, hours];
    await system.owner.query(
      `UPDATE batches SET ${['created_at', 'queued_at', 'progress_at', 'completed_at'].map(earlier).join(', ')}
       WHERE company_id = $1 AND batch_key = $2`,
      values,
    );
    await system.owner.query(
      `UPDATE batch_chunks SET ${earlier('stored_at')} WHERE company_id = $1
         AND batch_id = (SELECT id FROM batches WHERE company_id = $1 AND batch_key = $2)`,
      values,
    );
  };
  const finished = async (key: string) => {
    await api.send(FILE, { key, operation: OPERATION });
    expect((await api.over(key)).json).toMatchObject({ state: 'completed', counts: { refused: 1 } });
  };

  test('the bytes go some time after the end; the results stay, and tell another file from this one', async () => {
    await finished('old');
    await finished('new');
    const results = await api.results('old');
    const status = (await api.status('old')).json;
    await age('old', 2);
    await tidy();
    expect(await chunksOf('old')).toEqual([{ own: true, kept: false, pending: 0 }]);
    expect(await chunksOf('new')).toEqual([{ own: true, kept: true, pending: 0 }]);

    expect(await api.results('old')).toEqual(results);
    expect((await api.status('old')).json).toMatchObject({ state: 'completed', errors: status.errors });
    const again = await api.send(FILE, { key: 'old', operation: OPERATION });
    expect([again.status, again.replayed, again.json.state]).toEqual([202, true, 'completed']);
    const other = await api.send(FILE.replace('Three', 'Four'), { key: 'old', operation: OPERATION });
    expect(other).toMatchObject({ status: 422, json: { code: 'idempotency_key_reused', errors: [{ row: 3 }] } });
  });

  test('then nothing can be retried, which says what to do: the file under a new key tries what is not done', async () => {
    await finished('unkept');
    expect((await api.control('unkept', 'retry-failed')).json).toMatchObject({ state: 'queued' });
    await api.over('unkept');
    await age('unkept', 2);
    await tidy();
    const refused = await api.control('unkept', 'retry-failed');
    expect(refused).toMatchObject({ status: 409, json: { code: 'batch_state_conflict' } });
    expect(refused.json.detail).toMatch(/^The file of the batch is no longer kept\. Send it again with a new key/);
    expect((await api.status('unkept')).json).toMatchObject({ state: 'completed', counts: { refused: 1 } });
    await api.send(FILE, { key: 'unkept-again', operation: OPERATION });
    expect((await api.over('unkept-again')).json.counts).toMatchObject({ replayed: 2, refused: 1, succeeded: 0 });

    await api.send(ndjson([{ body: { name: 'Good' } }]), { key: 'good', operation: OPERATION });
    await api.over('good');
    const needless = await api.control('good', 'retry-failed');
    expect([needless.status, needless.json.detail]).toEqual([
      409,
      'The batch is completed, and no row of it is failed or refused.',
    ]);
  });

  test('a batch with pending rows is never touched, however old, nor one that is retried at that moment', async () => {
    await finished('retried');
    await age('retried', 1_000);
    const person = await system.owner.connect();
    try {
      await person.query('BEGIN');
      await person.query(
        `UPDATE batch_chunks SET outcomes = translate(outcomes, 'u', '.'), pending = 1, faults = 0 WHERE company_id = $1
           AND batch_id = (SELECT id FROM batches WHERE company_id = $1 AND batch_key = 'retried')`,
        [company.id],
      );
      const tidying = tidy();
      await until('the tidying to wait', async () => {
        const { rows } = await system.owner.query(
          `SELECT FROM pg_stat_activity WHERE application_name = 'test-tidy' AND cardinality(pg_blocking_pids(pid)) > 0`,
        );
        return rows.length === 1;
      });
      await person.query('COMMIT');
      await tidying;
    } finally {
      person.release();
    }
    await tidy();
    expect(await chunksOf('retried')).toEqual([{ own: true, kept: true, pending: 1 }]);

    await worker.close();
    try {
      await api.send(FILE, { key: 'waiting', operation: OPERATION });
      await api.control('waiting', 'pause');
      await age('waiting', 1_000);
      await tidy();
      expect(await chunksOf('waiting')).toEqual([{ own: true, kept: true, pending: 3 }]);
    } finally {
      worker = await startBatchWorker(system);
    }
    await api.control('waiting', 'resume');
    expect((await api.over('waiting')).json.counts).toMatchObject({ replayed: 2, refused: 1 });
  });

  test('what an upload has left that was broken off goes when none can go on with it; the batch’s own stays', async () => {
    await finished('sent-twice');
    // As a process leaves it that is killed in the middle of an upload.
    const leave = (hours: number) =>
      system.owner.query(
        `INSERT INTO batch_chunks (company_id, batch_id, upload_id, chunk, first_row, row_count, content, keys, digests,
           conflicts, outcomes, pending, stored_at)
         SELECT c.company_id, c.batch_id, gen_random_uuid(), c.chunk, c.first_row, c.row_count, c.content, c.keys, c.digests,
           c.conflicts, '...', 3, now() - make_interval(hours => $2)
         FROM batches b JOIN batch_chunks c ON c.company_id = b.company_id AND c.batch_id = b.id AND c.upload_id = b.upload_id
         WHERE b.company_id = $1 AND b.batch_key = 'sent-twice'`,
        [company.id, hours],
      );
    await leave(3);
    await leave(1);
    expect(await chunksOf('sent-twice')).toHaveLength(3);
    await tidy();
    expect(await chunksOf('sent-twice')).toMatchObject([{ own: false }, { own: true, kept: true }]);
  });

  test('a batch of which no upload has ended for a day goes, but not while another one is on its way', async () => {
    const empty = () => api.send('', { operation: OPERATION, key: 'never' });
    expect((await empty()).status).toBe(422);
    expect((await api.status('never')).json).toMatchObject({ state: 'receiving', rows: null });
    await age('never', 25);
    await tidy();
    expect((await api.status('never')).status).toBe(200);
    await age('never', 2);
    await tidy();
    expect((await api.status('never')).status).toBe(404);

    await empty();
    await age('never', 1_000);
    let end: () => void = () => undefined;
    const file = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(FILE));
        end = () => controller.close();
      },
    });
    const answer = api.send(file, { operation: OPERATION, key: 'never' });
    await until('the upload', async () => {
      const { rows } = await system.owner.query(
        `SELECT FROM batches WHERE company_id = $1 AND batch_key = 'never' AND progress_at > now() - interval '1 hour'`,
        [company.id],
      );
      return rows.length === 1;
    });
    await tidy();
    end();
    expect(await answer).toMatchObject({ status: 202, json: { rows: 3 } });
  });
});
