import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { UPLOAD_LIMITS } from '../../api/batches/limits.ts';
import { batchClient, ndjson } from '../support/batches.ts';
import { startCommitProxy } from '../support/commit-proxy.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { scrape, sum } from '../support/metrics-page.ts';
import { type System, startSystem } from '../support/system.ts';

const LINE = new TextEncoder().encode(ndjson([{ body: { name: 'Held' } }]));

/** A file of which the first row is sent, and the rest never, until it ends or breaks off. */
function heldFile() {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const stream = new ReadableStream<Uint8Array>({
    start(given) {
      controller = given;
      given.enqueue(LINE);
    },
  });
  return {
    stream,
    end: () => controller?.close(),
    breakOff: () => controller?.error(new Error('broken off')),
  };
}

describe('uploads', () => {
  let system: System;
  let company: Company;
  let api: ReturnType<typeof batchClient>;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
    api = batchClient(system, company);
  });
  afterAll(() => system.stop());

  const metric = async (name: string, labels: Record<string, string> = {}) =>
    sum(await scrape(`${system.url}/metrics`), name, labels);
  const customers = (count: number) =>
    ndjson(Array.from({ length: count }, (_, index) => ({ body: { name: `Customer ${index}` } })));

  test('of one company are at most four at once: the fifth is told to wait, another company’s goes on', async () => {
    const files = Array.from({ length: 4 }, heldFile);
    const answers = files.map(({ stream }, index) =>
      api.send(stream, { key: `held-${index}`, operation: 'createCustomer' }),
    );
    await until('four uploads', async () => (await metric('batch_uploads_open')) === 4);
    const fifth = await api.send(customers(1), { key: 'fifth', operation: 'createCustomer' });
    expect(fifth).toMatchObject({ status: 429, json: { code: 'rate_limited', retryable: true } });
    expect(Number(fifth.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(fifth.json.detail).toMatch(/^4 files of the company are being uploaded already/);
    const check = await api.send(customers(1), { operation: 'createCustomer', validateOnly: true });
    expect(check.status).toBe(429);
    const other = batchClient(system, await system.company());
    expect((await other.send(customers(1), { key: 'fifth', operation: 'createCustomer' })).status).toBe(202);

    for (const { end } of files) end();
    for (const answer of await Promise.all(answers)) expect(answer).toMatchObject({ status: 202, json: { rows: 1 } });
    expect(await metric('batch_uploads_open')).toBe(0);
    expect((await api.send(customers(1), { key: 'fifth', operation: 'createCustomer' })).status).toBe(202);
  });

  test('are counted by their end, and the rows that they have stored', async () => {
    const ends = ['stored', 'repeated', 'checked', 'refused', 'broken_off', 'failed'] as const;
    const counted = async () =>
      Object.fromEntries(
        await Promise.all(
          ends.map(async (end) => [end, await metric('batch_uploads_total', { end })] as [string, number]),
        ),
      );
    const [before, rowsBefore] = [await counted(), await metric('batch_rows_uploaded_total')];
    const file = { key: 'counted', operation: 'createCustomer' };
    expect((await api.send(customers(501), file)).status).toBe(202);
    expect((await api.send(customers(501), file)).replayed).toBe(true);
    expect((await api.send(customers(502), file)).status).toBe(422);
    expect((await api.send(customers(3), { ...file, validateOnly: true })).status).toBe(200);
    const broken = heldFile();
    const answer = api.send(broken.stream, { ...file, key: 'broken' }).catch((error: unknown) => error);
    await until('the upload', async () => (await metric('batch_uploads_open')) === 1);
    broken.breakOff();
    expect(await answer).toBeInstanceOf(Error);
    await until('its end', async () => (await metric('batch_uploads_open')) === 0);
    expect(await counted()).toEqual({
      stored: (before['stored'] ?? 0) + 1,
      repeated: (before['repeated'] ?? 0) + 1,
      checked: (before['checked'] ?? 0) + 1,
      refused: (before['refused'] ?? 0) + 1,
      broken_off: (before['broken_off'] ?? 0) + 1,
      failed: before['failed'],
    });
    expect(await metric('batch_rows_uploaded_total')).toBe(rowsBefore + 501);
  });

  /** The next chunks meet this error of the database, so many times. */
  async function failing(code: string, times: number) {
    await system.owner.query(`
      CREATE SEQUENCE failures_of_chunks; GRANT USAGE ON failures_of_chunks TO accubooks_app;
      CREATE FUNCTION fail_chunk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('failures_of_chunks') <= ${times} THEN RAISE EXCEPTION 'A failure of a test' USING ERRCODE = '${code}'; END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER fail_chunk BEFORE INSERT ON batch_chunks FOR EACH ROW EXECUTE FUNCTION fail_chunk()`);
    onTestFinished(async () => {
      await system.owner.query(
        'DROP TRIGGER fail_chunk ON batch_chunks; DROP FUNCTION fail_chunk; DROP SEQUENCE failures_of_chunks',
      );
    });
    return async () => (await system.owner.query('SELECT last_value::int FROM failures_of_chunks')).rows[0].last_value;
  }
  const chunksOf = async (key: string) => {
    const { rows } = await system.owner.query(
      `SELECT c.chunk, c.first_row, c.row_count FROM batch_chunks c
       JOIN batches b ON (b.company_id, b.id, b.upload_id) = (c.company_id, c.batch_id, c.upload_id)
       WHERE b.batch_key = $1 AND b.company_id = $2 ORDER BY c.chunk`,
      [key, company.id],
    );
    return rows;
  };
  const CHUNKS_OF_1200 = [
    { chunk: 1, first_row: 1, row_count: 500 },
    { chunk: 2, first_row: 501, row_count: 500 },
    { chunk: 3, first_row: 1_001, row_count: 200 },
  ];

  test.each(['40001', '40P01', '57P01'])('go on after an error of the database that passes: %s', async (code) => {
    const inserts = await failing(code, 4);
    const key = `passes-${code}`;
    const sent = await api.send(customers(1_200), { key, operation: 'createCustomer' });
    expect([sent.status, sent.json.rows]).toEqual([202, 1_200]);
    expect(await chunksOf(key)).toEqual(CHUNKS_OF_1200);
    expect(await inserts()).toBe(4 + 3);
  });

  test.each(['cut the answer', 'cut the commit'] as const)(
    'go on after a COMMIT that was lost: %s',
    async (trouble) => {
      const proxy = await startCommitProxy(system.environment['DATABASE_URL'] ?? '');
      const other = await system.another({ environment: { DATABASE_URL: proxy.url } });
      onTestFinished(async () => {
        await other.close();
        await proxy.close();
      });
      const cut = proxy.atNextCommit(trouble, 'INSERT INTO batch_chunks');
      const key = trouble.replaceAll(' ', '-');
      const sent = await batchClient({ url: other.url }, company).send(customers(1_200), {
        ...{ key, operation: 'createCustomer' },
      });
      await cut;
      expect([sent.status, sent.json.rows]).toEqual([202, 1_200]);
      expect(await chunksOf(key)).toEqual(CHUNKS_OF_1200);
    },
  );

  test('end with 503 where the error goes on for longer than a file may be silent', async () => {
    const hasty = await system.another({ uploadLimits: { ...UPLOAD_LIMITS, silentMs: 500 } });
    const of = batchClient({ url: hasty.url }, company);
    const inserts = await failing('40001', 1_000_000);
    const lasting = await of.send(customers(10), { key: 'lasting', operation: 'createCustomer' });
    expect([lasting.status, lasting.json.code]).toEqual([503, 'storage_unavailable']);
    expect(await inserts()).toBeGreaterThan(1);
    await system.owner.query('ALTER TABLE batch_chunks DISABLE TRIGGER fail_chunk');
    const again = await of.send(customers(10), { key: 'lasting', operation: 'createCustomer' });
    expect([again.status, again.replayed]).toEqual([202, false]);
  });

  test('end at once with an error of the database that cannot pass', async () => {
    const inserts = await failing('23514', 1_000_000);
    const failed = await api.send(customers(10), { key: 'bug', operation: 'createCustomer' });
    expect([failed.status, failed.json.code]).toEqual([500, 'internal_error']);
    expect(await inserts()).toBe(1);
  });
});
