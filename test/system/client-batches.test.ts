import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type AccuBooks, createClient } from '../../deploy/client/src/client.ts';
import { RefusedError } from '../../deploy/client/src/errors.ts';
import { ndjson, startBatchWorker } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { holdInvoice } from '../support/held-invoice.ts';
import { withItemBug } from '../support/item-bug.ts';
import { type System, startSystem } from '../support/system.ts';

/** The methods of batches that the client adds to those of its routes, against the real API, worker, Temporal and PostgreSQL. */
let bug: string | undefined;

let system: System;
let worker: Awaited<ReturnType<typeof startBatchWorker>>;
let company: Company;
let batches: AccuBooks['batches'];
const folder = mkdtempSync(join(tmpdir(), 'accubooks-client-batches-'));
beforeAll(async () => {
  // A row waits for a lock for half of it, and then for its next attempt.
  system = await startSystem({ environment: { STATEMENT_TIMEOUT_MS: '2000' } });
  worker = await startBatchWorker(
    system,
    withItemBug((sku) => sku === bug),
  );
});
beforeEach(async () => {
  company = await system.company();
  batches = createClient({ baseUrl: system.url, token: company.users.owner.token }).batches;
});
afterAll(async () => {
  await worker.close();
  await system.stop();
  rmSync(folder, { recursive: true });
});

const made = async (table: string) => (await countEffects(system.owner, { companyId: company.id, table })).rows;
const PAYMENTS = { operation: 'createPayment', batchKey: 'march' } as const;

async function collect<T>(iteration: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of iteration) all.push(one);
  return all;
}

async function refusal(work: Promise<unknown>): Promise<RefusedError> {
  const error = await work.catch((thrown: unknown) => thrown);
  if (!(error instanceof RefusedError)) throw new Error(`Not refused: ${String(error)}`);
  return error;
}

describe('a file with good and bad rows', () => {
  let rows: readonly object[];
  let file: string;
  beforeEach(async () => {
    const invoiceId = await company.invoice({ total: 1_000 });
    const good = (amount: number) => ({ key: `row-${amount}`, body: paymentBody(invoiceId, amount) });
    rows = [good(100), { key: 'none', body: paymentBody(invoiceId, 0) }, good(101), good(5_000)];
    file = ndjson(rows);
  });

  test('is checked, written, and found again under its key', async () => {
    const checked = await batches.validate(file, { operation: 'createPayment' });
    expect(checked).toMatchObject({ rows: 4, valid: 3, errors: [{ row: 2, key: 'none', code: 'validation_failed' }] });
    expect(await made('payments')).toBe(0);

    const sent = await batches.submit(file, PAYMENTS);
    expect(sent).toMatchObject({ batchKey: 'march', replayed: false, batch: { key: 'march', rows: 4 } });
    const states: string[] = [];
    const done = await batches.wait('march', { onProgress: ({ state }) => states.push(state) });
    expect(done).toMatchObject({ state: 'completed', counts: { succeeded: 2, refused: 1, rejected: 1, pending: 0 } });
    expect(states.at(-1)).toBe('completed');

    const path = join(folder, 'march.jsonl');
    writeFileSync(path, file);
    const again = await batches.submit(() => createReadStream(path), PAYMENTS);
    expect(again).toMatchObject({ replayed: true, batch: { id: done.id, state: 'completed' } });
    expect(await made('payments')).toBe(2);
  });

  test('has results for each row, as rows and as text, page by page', async () => {
    await batches.submit(file, PAYMENTS);
    await batches.wait('march');
    const results = await collect(batches.results('march', { limit: 3 }));
    expect(results).toMatchObject([
      { row: 1, key: 'row-100', outcome: 'succeeded', status: 201, resource: { amount: 100 }, problem: null },
      { row: 2, key: 'none', outcome: 'refused', status: 422, problem: { errors: [{ pointer: '/amount' }] } },
      { row: 3, key: 'row-101', outcome: 'succeeded' },
      { row: 4, key: 'row-5000', outcome: 'rejected', problem: { code: 'payment_exceeds_outstanding' } },
    ]);
    expect(await collect(batches.results('march', { after: 2, limit: 1 }))).toEqual(results.slice(2));
    expect((await collect(batches.resultsText('march', { limit: 3 }))).join('')).toBe(ndjson(results));

    const pages = await collect(batches.resultsText('march', { format: 'csv', limit: 1 }));
    expect(pages.map((page) => page.split(',', 4))).toEqual([
      ['row', 'key', 'outcome', 'status'],
      ...[2, 3, 4].map((row) => [String(row), expect.any(String), expect.any(String), expect.any(String)]),
    ]);
    expect(pages.join('')).toBe((await collect(batches.resultsText('march', { format: 'csv' }))).join(''));
    expect(pages.join('').match(/^\d+,[^,]+,[^,]+,\d+/gm)).toEqual(
      results.map(({ row, key, outcome, status }) => [row, key, outcome, status].join(',')),
    );
  });

  test('is not the batch of another file under its key, and the first row that differs is told', async () => {
    await batches.submit(file, PAYMENTS);
    const other = ndjson([...rows.slice(0, 2), { ...rows[2], key: 'another' }, ...rows.slice(3)]);
    const refused = await refusal(batches.submit(other, PAYMENTS));
    expect(refused).toMatchObject({
      ...{ status: 422, code: 'idempotency_key_reused', idempotencyKey: 'march' },
      problem: { errors: [{ row: 3 }] },
    });
    expect(refused.message).toContain('row 3');
    expect((await batches.wait('march')).counts).toMatchObject({ succeeded: 2 });
  });

  test('may be CSV', async () => {
    const { invoiceId } = paymentBody(await company.invoice());
    const csv = `key,invoiceId,amount,currency,method\nfirst,${invoiceId},1,USD,cash\n"quoted, ""twice""",${invoiceId},0,USD,cash\n`;
    await batches.submit(new Blob([csv]), { ...PAYMENTS, format: 'csv' });
    expect(await batches.wait('march')).toMatchObject({ rows: 2, counts: { succeeded: 1, refused: 1 } });
    const text = (await collect(batches.resultsText('march', { format: 'csv', limit: 1 }))).join('');
    expect(text).toMatch(/^row,.*\r\n1,first,succeeded,.*\r\n2,"quoted, ""twice""",refused,/);
  });

  test('that cannot be read to its end is no batch, and may be sent again', async () => {
    const gone = new Error('The disk is gone.');
    const broken = async function* () {
      yield Buffer.from(ndjson(rows.slice(0, 2)));
      throw gone;
    };
    await expect(batches.submit(broken, PAYMENTS)).rejects.toBe(gone);
    expect(await batches.submit(file, PAYMENTS)).toMatchObject({ replayed: false, batch: { rows: 4 } });
    expect((await batches.wait('march')).counts).toMatchObject({ succeeded: 2, refused: 1, rejected: 1 });
  });
});

describe('a batch', () => {
  test('is paused, resumed and cancelled', async () => {
    const invoiceId = await company.invoice({ total: 1_000 });
    const held = await holdInvoice(system.owner, invoiceId);
    await batches.submit(ndjson([{ body: paymentBody(invoiceId) }]), PAYMENTS);
    const isRunning = { until: ({ state }: { readonly state: string }) => state === 'running', waitS: 1 };
    expect(await batches.wait('march', isRunning)).toMatchObject({ state: 'running', counts: { pending: 1 } });
    // One batch of a company is written at a time.
    await batches.submit(ndjson([{ body: paymentBody(invoiceId, 1) }]), { ...PAYMENTS, batchKey: 'april' });
    expect(await batches.pause('april')).toMatchObject({ state: 'paused' });
    expect(await batches.wait('april', { until: ({ state }) => state === 'paused' })).toMatchObject({
      state: 'paused',
    });
    expect((await refusal(batches.pause('april'))).code).toBe('batch_state_conflict');
    expect(await batches.resume('april')).toMatchObject({ state: 'queued', counts: { pending: 1 } });
    expect(await batches.cancel('april')).toMatchObject({ state: 'cancelled', counts: { cancelled: 1 } });
    expect(await batches.wait('april')).toMatchObject({ state: 'cancelled' });
    expect(await collect(batches.results('april'))).toMatchObject([{ row: 1, outcome: 'cancelled', status: null }]);
    await held.release();
    expect(await batches.wait('march')).toMatchObject({ state: 'completed', counts: { succeeded: 1 } });
    expect((await refusal(batches.cancel('march'))).code).toBe('batch_state_conflict');
    expect(await made('payments')).toBe(1);
    expect((await collect(batches.list())).map(({ key, state }) => `${key} ${state}`)).toEqual([
      ...['april cancelled', 'march completed'],
    ]);
  });

  test('tries its failed rows again', async () => {
    bug = 'Bad';
    onTestFinished(() => {
      bug = undefined;
    });
    const item = (name: string) => ({ body: { sku: name, name, currency: 'USD' } });
    const file = ndjson([item('Good'), item('Bad')]);
    await batches.submit(file, { operation: 'createInventoryItem', batchKey: 'items' });
    expect((await batches.wait('items')).counts).toMatchObject({ succeeded: 1, failed: 1 });
    bug = undefined;
    expect(await batches.retryFailed('items')).toMatchObject({ counts: { succeeded: 1, failed: 0, pending: 1 } });
    expect(await batches.wait('items')).toMatchObject({ state: 'completed', counts: { succeeded: 2, failed: 0 } });
    expect((await refusal(batches.retryFailed('items'))).code).toBe('batch_state_conflict');
    expect(await made('inventory_items')).toBe(2);
  });

  test('that nobody has sent is not found', async () => {
    for (const work of [
      () => batches.wait('nobodys'),
      () => batches.pause('nobodys'),
      () => collect(batches.resultsText('nobodys')),
    ]) {
      expect((await refusal(work())).code).toBe('batch_not_found');
    }
  });
});
