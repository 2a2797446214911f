import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { keyOfRow } from '../../activities/batches/row-key.ts';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { holdInvoice, until } from '../support/held-invoice.ts';
import { withItemBug } from '../support/item-bug.ts';
import { type System, startSystem } from '../support/system.ts';

/** So long: a row waits for a lock for half of it, and then for its next attempt. */
const ENVIRONMENT = { STATEMENT_TIMEOUT_MS: '2000' };
const CHUNK = 500;

/** A bug of an operation, while it is there: of the rows that name an item so. */
let bug: string | undefined;
let met = 0;
const operations = withItemBug((sku) => {
  if (sku !== bug) return false;
  met += 1;
  return true;
});

let system: System;
let worker: Awaited<ReturnType<typeof startBatchWorker>>;
let company: Company;
let api: ReturnType<typeof batchClient>;
beforeAll(async () => {
  system = await startSystem({ environment: ENVIRONMENT });
  worker = await startBatchWorker(system, operations);
});
beforeEach(async () => {
  company = await system.company();
  api = batchClient(system, company);
});
afterAll(async () => {
  await worker.close();
  await system.stop();
});

const customer = (name: string) => ({ operation: 'createCustomer', body: { name, currency: 'USD' } });
const item = (name: string) => ({ operation: 'createInventoryItem', body: { sku: name, name, currency: 'USD' } });
const made = (table: string) => countEffects(system.owner, { companyId: company.id, table });
const untilCounts = (key: string, counts: object) =>
  until(`the counts ${JSON.stringify(counts)}`, async () => {
    const { json } = await api.status(key);
    return Object.entries(counts).every(([outcome, count]) => json.counts[outcome] === count);
  });

describe('a batch of three chunks, of which two wait in their first row', () => {
  let file: string;
  let held: readonly Awaited<ReturnType<typeof holdInvoice>>[];
  beforeEach(async () => {
    const customerId = await company.customer();
    const invoices = [await company.invoice({ customerId }), await company.invoice({ customerId })];
    held = await Promise.all(invoices.map((invoiceId) => holdInvoice(system.owner, invoiceId)));
    const rows: object[] = Array.from({ length: 2 * CHUNK + 100 }, (_, index) => customer(`Customer ${index + 1}`));
    invoices.forEach((invoiceId, index) => {
      rows[index * CHUNK] = { operation: 'createPayment', body: paymentBody(invoiceId) };
    });
    file = ndjson(rows);
    await api.send(file, { key: 'held' });
    await untilCounts('held', { succeeded: 2 * CHUNK - 2, pending: 102 });
  });
  const letGo = () => Promise.all(held.map(({ release }) => release()));

  test('that is cancelled ends them, and the rows of the third have used no key', async () => {
    const cancelled = await api.control('held', 'cancel');
    const standing = { state: 'cancelled', completedAt: null, counts: { cancelled: 100, pending: 2 } };
    expect(cancelled.json).toMatchObject(standing);
    // Whoever waits for its end is told once nothing of it is written any more.
    const waiting = api.status('held', { prefer: 'wait=60' });
    expect((await api.status('held')).json).toMatchObject(standing);
    await letGo();
    expect((await waiting).json).toMatchObject({ state: 'cancelled', completedAt: expect.any(String) });
    expect((await waiting).json.counts).toMatchObject({ succeeded: 2 * CHUNK, cancelled: 100, pending: 0 });
    const results = await api.results('held');
    expect(results.slice(0, 2 * CHUNK).every(({ outcome, status }) => outcome === 'succeeded' && status === 201)).toBe(
      true,
    );
    expect(
      new Set(results.slice(2 * CHUNK).map(({ outcome, status, resource }) => `${outcome} ${status} ${resource}`)),
    ).toEqual(new Set(['cancelled null null']));
    const row = 2 * CHUNK + 1;
    const key = keyOfRow(createHash('sha256').update(file).digest('hex'), row);
    expect(results[row - 1].key).toBe(key);
    const { body } = customer(`Customer ${row}`);
    const alone = await company.api.post('/api/customers', body, { key, headers: { prefer: 'wait=60' } });
    expect([alone.status, alone.replayed]).toEqual([201, false]);
    expect((await api.results('held'))[row - 1]).toEqual(results[row - 1]);
    for (const action of ['pause', 'resume', 'cancel', 'retry-failed']) {
      expect([action, (await api.control('held', action)).json.code]).toEqual([action, 'batch_state_conflict']);
    }
  });

  test('that is paused ends them, begins no other, and goes on when it is resumed', async () => {
    expect((await api.control('held', 'pause')).json.state).toBe('paused');
    for (const action of ['pause', 'retry-failed']) {
      expect([action, (await api.control('held', action)).json.code]).toEqual([action, 'batch_state_conflict']);
    }
    await letGo();
    await untilCounts('held', { succeeded: 2 * CHUNK, pending: 100 });
    // What has gone on in spite of it would be seen here: another batch is sent after it, and done.
    await api.send(ndjson([customer('Next')]), { key: 'next' });
    expect((await api.over('next')).json.counts.succeeded).toBe(1);
    expect((await api.status('held')).json).toMatchObject({ state: 'paused', counts: { pending: 100 } });
    expect((await api.control('held', 'resume')).status).toBe(200);
    expect((await api.over('held')).json.counts).toMatchObject({ succeeded: 2 * CHUNK + 100, pending: 0 });
    for (const action of ['pause', 'resume', 'cancel', 'retry-failed']) {
      expect([action, (await api.control('held', action)).json.code]).toEqual([action, 'batch_state_conflict']);
    }
  });

  test('keeps its company’s later batches waiting, in their order, and no other company’s', async () => {
    const other = await system.company();
    const others = batchClient(system, other);
    await api.send(ndjson([customer('Second')]), { key: 'second' });
    await api.send(ndjson([customer('Third')]), { key: 'third' });
    await others.send(ndjson([customer('Foreign')]), { key: 'foreign' });
    expect((await others.over('foreign')).json.counts.succeeded).toBe(1);
    for (const key of ['second', 'third']) {
      expect((await api.status(key)).json).toMatchObject({ state: 'queued', counts: { pending: 1 } });
      expect((await api.control(key, 'resume')).json.code).toBe('batch_state_conflict');
    }
    for (const action of ['resume', 'retry-failed']) {
      expect([action, (await api.control('held', action)).json.code]).toEqual([action, 'batch_state_conflict']);
    }
    await letGo();
    const [first, second, third] = [await api.over('held'), await api.over('second'), await api.over('third')];
    expect(second.json.startedAt >= first.json.completedAt).toBe(true);
    expect(third.json.startedAt >= second.json.completedAt).toBe(true);
  });
});

test('a row that waits for a lock keeps its place before those of its own resource, and holds up no other', async () => {
  const [busy, free] = [await company.invoice({ total: 150 }), await company.invoice({ total: 150 })];
  const held = await holdInvoice(system.owner, busy);
  const pay = (invoiceId: string, amount: number) => ({ body: paymentBody(invoiceId, amount) });
  await api.send(ndjson([pay(busy, 100), pay(busy, 80), pay(free, 100), pay(free, 80), pay(free, 50)]), {
    ...{ key: 'order', operation: 'createPayment' },
  });
  await untilCounts('order', { succeeded: 2, rejected: 1, pending: 2 });
  await held.release();
  expect((await api.over('order')).json.counts).toMatchObject({ succeeded: 3, rejected: 2 });
  const results = await api.results('order');
  expect(results.map(({ outcome }) => outcome)).toEqual([
    'succeeded',
    'rejected',
    'succeeded',
    'rejected',
    'succeeded',
  ]);
});

describe('the rows that came to nothing', () => {
  test('by a bug fail alone, are told, and are written when they are tried again after it was mended', async () => {
    bug = 'Bad';
    onTestFinished(() => {
      bug = undefined;
    });
    await api.send(ndjson([item('Good'), item('Bad'), item('Better')]), { key: 'bug' });
    const failed = await api.over('bug');
    expect(failed.json).toMatchObject({
      state: 'completed',
      counts: { succeeded: 2, failed: 1, pending: 0 },
      errors: [{ row: 2, status: 500, code: 'write_failed' }],
    });
    expect(await made('inventory_items')).toMatchObject({ rows: 2, newAudit: 2, failedAudit: 1 });
    expect((await api.control('bug', 'retry-failed')).status).toBe(200);
    expect((await api.over('bug')).json.counts).toMatchObject({ succeeded: 2, failed: 1, pending: 0 });
    expect(await made('inventory_items')).toMatchObject({ rows: 2, newAudit: 2, failedAudit: 2 });
    bug = undefined;
    await api.control('bug', 'retry-failed');
    expect((await api.over('bug')).json).toMatchObject({ counts: { succeeded: 3, failed: 0 }, errors: [] });
    expect((await api.results('bug')).map(({ status, resource }) => [status, resource.name])).toEqual([
      [201, 'Good'],
      [201, 'Bad'],
      [201, 'Better'],
    ]);
    expect(await made('inventory_items')).toMatchObject({ rows: 3, newAudit: 3, replayedAudit: 0, failedAudit: 2 });
    expect((await api.control('bug', 'retry-failed')).json.code).toBe('batch_state_conflict');
  });

  test('by a bug are replays where someone else has made them meanwhile', async () => {
    bug = 'Bad';
    met = 0;
    onTestFinished(() => {
      bug = undefined;
    });
    const invoiceId = await company.invoice();
    const held = await holdInvoice(system.owner, invoiceId);
    const bad = item('Bad');
    const rows = [
      { ...bad, key: 'bad' },
      { operation: 'createPayment', body: paymentBody(invoiceId) },
    ];
    await api.send(ndjson(rows), { key: 'meanwhile' });
    await until('the bug', async () => met > 0);
    // The other row keeps their group from its end; the API has no bug.
    const alone = await company.api.post('/api/inventory/items', bad.body, {
      key: 'bad',
      headers: { prefer: 'wait=60' },
    });
    expect([alone.status, alone.replayed]).toEqual([201, false]);
    await held.release();
    expect((await api.over('meanwhile')).json.counts).toMatchObject({ succeeded: 1, replayed: 1, failed: 0 });
    expect(await made('inventory_items')).toMatchObject({ rows: 1, replayedAudit: 1, failedAudit: 0 });
  });

  test('because a role was revoked are refused, and are written when they are tried again after it was granted', async () => {
    const { id, token } = company.users.accountant;
    const accountant = batchClient(system, company, token);
    const setRoles = (roles: readonly string[]) =>
      system.owner.query('UPDATE memberships SET roles = $3 WHERE company_id = $1 AND user_id = $2', [
        company.id,
        id,
        roles,
      ]);
    const invoiceId = await company.invoice();
    // Another one comes first, so that the role is revoked before its rows are looked at.
    const held = await holdInvoice(system.owner, invoiceId);
    await api.send(ndjson([{ body: paymentBody(invoiceId) }]), { key: 'first', operation: 'createPayment' });
    await until('the first one to run', async () => (await api.status('first')).json.state === 'running');
    const rows = [await company.invoice(), await company.invoice()].map((one) => ({ body: paymentBody(one) }));
    const sent = await accountant.send(ndjson(rows), { key: 'revoked', operation: 'createPayment' });
    expect([sent.status, sent.json.state]).toEqual([202, 'queued']);
    await setRoles(['auditor']);
    await held.release();
    expect((await api.over('revoked')).json).toMatchObject({
      counts: { succeeded: 0, refused: 2 },
      errors: [{ row: 1, status: 403, code: 'forbidden' }, { row: 2 }],
    });
    await setRoles(['accountant']);
    await api.control('revoked', 'retry-failed');
    expect((await api.over('revoked')).json).toMatchObject({ counts: { succeeded: 2, refused: 0 }, errors: [] });
  });
});

test('what makes no sense while a file is received is refused, but to cancel it', async () => {
  let end: () => void = () => undefined;
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(Buffer.from(ndjson([customer('One')])));
      end = () => controller.close();
    },
  });
  const answer = api.send(stream, { key: 'receiving' });
  await until('the upload to begin', async () => (await api.status('receiving')).status === 200);
  for (const action of ['pause', 'resume', 'retry-failed']) {
    expect([action, (await api.control('receiving', action)).json.code]).toEqual([action, 'batch_state_conflict']);
  }
  expect((await api.control('receiving', 'cancel')).json.state).toBe('cancelled');
  end();
  expect((await answer).json.code).toBe('batch_state_conflict');
});
