import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { withItemBug } from '../support/item-bug.ts';
import { scrape, sum } from '../support/metrics-page.ts';
import { type System, startSystem } from '../support/system.ts';

const MIB = 1024 * 1024;

/** The items that a bug of the worker of batches does not write. */
const bugs = new Set<string>();

let system: System;
let worker: Awaited<ReturnType<typeof startBatchWorker>>;
let company: Company;
let api: ReturnType<typeof batchClient>;
beforeAll(async () => {
  system = await startSystem();
  worker = await startBatchWorker(
    system,
    withItemBug((sku) => bugs.has(sku)),
  );
  company = await system.company();
  api = batchClient(system, company);
});
afterAll(async () => {
  await worker.close();
  await system.stop();
});

/** The pages of the results, as whoever follows their links gets them. */
async function pagesOf(key: string) {
  const pages: { readonly bytes: number; readonly rows: readonly number[] }[] = [];
  let path: string | undefined = `/api/batches/${key}/results`;
  while (path !== undefined) {
    const { text, headers } = await api.call(path);
    const rows = text.split('\n').filter(Boolean);
    pages.push({ bytes: Buffer.byteLength(text), rows: rows.map((line) => JSON.parse(line).row) });
    path = /<([^>]+)>; rel="next"/.exec(headers.get('link') ?? '')?.[1];
  }
  return pages;
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe('a page of results', () => {
  test('ends where the answers of its rows have some megabytes; the next one begins with the row after that', async () => {
    const memo = '漢'.repeat(500);
    const lines = Array.from({ length: 200 }, (_, at) => ({
      accountCode: '6000',
      amount: at % 2 === 0 ? 1 : -1,
      memo,
    }));
    const entry = { date: '2026-01-31', description: 'Large', currency: 'USD', lines };
    await api.send(ndjson(upTo(33).map(() => ({ body: entry }))), { key: 'large', operation: 'createJournalEntry' });
    expect((await api.over('large')).json.counts).toMatchObject({ succeeded: 33 });
    const pages = await pagesOf('large');
    expect(pages.flatMap(({ rows }) => rows)).toEqual(upTo(33));
    expect(pages.length).toBe(2);
    for (const { bytes } of pages) expect(bytes).toBeLessThan(9 * MIB);
    expect(pages[0]?.bytes).toBeGreaterThan(8 * MIB);
  });

  test('ends where the problems of its rows have some megabytes, and has one row at least', async () => {
    const rows = upTo(20).map((row) => ({ body: { [`${row}${'x'.repeat(0.9 * MIB)}`]: 1 } }));
    await api.send(ndjson(rows), { key: 'unknown-members', operation: 'createCustomer' });
    expect((await api.over('unknown-members')).json.counts).toMatchObject({ refused: 20 });
    const pages = await pagesOf('unknown-members');
    expect(pages.flatMap(({ rows: told }) => told)).toEqual(upTo(20));
    expect(pages.length).toBeGreaterThan(1);
    for (const { bytes } of pages) expect(bytes).toBeLessThan(10 * MIB);
  });
});

describe('a row that failed', () => {
  const item = (name: string) => ({ sku: name, name, currency: 'USD' });
  const send = async (key: string, names: readonly string[]) => {
    for (const name of names) bugs.add(name);
    onTestFinished(() => bugs.clear());
    const rows = names.map((name) => ({ key: name, body: item(name) }));
    await api.send(ndjson(rows), { key, operation: 'createInventoryItem' });
    expect((await api.over(key)).json.counts).toMatchObject({ failed: names.length });
  };
  const alone = async (body: object, key: string) =>
    (await company.api.post('/api/inventory/items', body, { key, headers: { prefer: 'wait=60' } })).status;
  const told = async (key: string) =>
    (await api.results(key)).map(({ outcome, status, resource, problem }) => [
      outcome,
      status,
      resource?.name ?? problem.code,
    ]);

  test('tells the answer of its write where that was made since by another request, and of no other write', async () => {
    await send('since', ['made', 'another', 'cancelled', 'never']);
    expect(await alone(item('made'), 'made')).toBe(201);
    expect(await alone(item('of somebody else'), 'another')).toBe(201);
    expect((await company.api.post('/api/writes/cancelled/cancel', {}, {})).status).toBe(200);
    const expected = [
      ['failed', 201, 'made'],
      ['failed', 500, 'write_failed'],
      ['failed', 409, 'write_cancelled'],
      ['failed', 500, 'write_failed'],
    ];
    expect(await told('since')).toEqual(expected);
    expect((await api.status('since')).json).toMatchObject({
      counts: { failed: 4, succeeded: 0 },
      errors: [
        { row: 1, status: 201, code: 'write_failed', detail: expect.stringContaining('made since') },
        { row: 2, status: 500, code: 'write_failed' },
        { row: 3, status: 409, code: 'write_cancelled' },
        { row: 4, status: 500, code: 'write_failed' },
      ],
    });

    // Without the row, nobody knows whether the write is its own.
    await system.owner.query('UPDATE batch_chunks SET content = NULL, is_kept = false WHERE company_id = $1', [
      company.id,
    ]);
    expect(await told('since')).toEqual([['failed', 500, 'write_failed'], ...expected.slice(1)]);
  });

  test('tells the answer of a late attempt of the batch itself, also once its row is no longer kept', async () => {
    const rows = [{ key: 'late', body: item('late') }];
    await api.send(ndjson(rows), { key: 'late-attempt', operation: 'createInventoryItem' });
    expect((await api.over('late-attempt')).json.counts).toMatchObject({ succeeded: 1 });
    await system.owner.query('ALTER TABLE batch_chunks DISABLE TRIGGER keep_row_outcomes');
    await system.owner.query(
      `UPDATE batch_chunks SET outcomes = 'f', faults = 1, content = NULL, is_kept = false,
         problems = '{"0": {"code": "outcome_unknown", "detail": "It had no outcome."}}'
       WHERE company_id = $1 AND keys = '{late}'`,
      [company.id],
    );
    await system.owner.query('ALTER TABLE batch_chunks ENABLE TRIGGER keep_row_outcomes');
    expect(await told('late-attempt')).toEqual([['failed', 201, 'late']]);
  });
});

test('the status of a batch, with its first errors, is read in one transaction', async () => {
  await api.send('{"body":{}}\n', { key: 'read-at-once', operation: 'createCustomer' });
  expect((await api.over('read-at-once')).json.errors).toHaveLength(1);
  const connections = async () =>
    sum(await scrape(`${system.url}/metrics`), 'database_pool_wait_ms_count', { pool: 'lookups' });
  const takenBy = async (work: () => Promise<unknown>) => {
    const before = await connections();
    await work();
    return (await connections()) - before;
  };
  const ASKED = 50;
  const sinceMs = performance.now();
  const taken = await takenBy(async () => {
    for (let asked = 0; asked < ASKED; asked += 1) {
      expect((await api.status('read-at-once')).json.errors).toHaveLength(1);
    }
  });
  // The process reads a few other things meanwhile, more of them where that takes long.
  const others = await takenBy(() => sleep(performance.now() - sinceMs));
  expect(taken).toBeGreaterThanOrEqual(ASKED);
  expect(taken - others).toBeLessThan(1.5 * ASKED);
});
