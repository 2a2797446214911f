import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';

describe('a batch', () => {
  let system: System;
  let worker: Awaited<ReturnType<typeof startBatchWorker>>;
  let company: Company;
  let api: ReturnType<typeof batchClient>;
  beforeAll(async () => {
    system = await startSystem();
    worker = await startBatchWorker(system);
    company = await system.company();
    api = batchClient(system, company);
  });
  afterAll(async () => {
    await worker.close();
    await system.stop();
  });

  const payments = async (count: number) => {
    const invoiceId = await company.invoice({ total: 10_000_000 });
    return Array.from({ length: count }, (_, index) => ({ body: paymentBody(invoiceId, 100 + index) }));
  };

  test('of a thousand payments makes each of them once, with its audit row and event', async () => {
    const file = ndjson(await payments(1_000));
    const before = await countEffects(system.owner, { companyId: company.id, table: 'payments' });
    const accepted = await api.send(file, { key: 'month-end', operation: 'createPayment' });
    expect([accepted.status, accepted.replayed, accepted.headers.get('location')]).toEqual([
      202,
      false,
      '/api/batches/month-end',
    ]);
    expect(accepted.json).toMatchObject({ key: 'month-end', operation: 'createPayment', rows: 1_000 });
    const done = await api.over('month-end');
    expect(done.json).toMatchObject({
      state: 'completed',
      counts: { pending: 0, succeeded: 1_000, replayed: 0, rejected: 0, failed: 0 },
      errors: [],
    });
    const after = await countEffects(system.owner, { companyId: company.id, table: 'payments' });
    expect(after.rows - before.rows).toBe(1_000);
    expect(after.entries - before.entries).toBe(1_000);
    expect(after.events - before.events).toBe(1_000);
    expect(after.newAudit - before.newAudit).toBe(1_000);
    const results = await api.results('month-end', 300);
    expect(results.map(({ row }) => row)).toEqual(Array.from({ length: 1_000 }, (_, index) => index + 1));
    expect(new Set(results.map(({ outcome, status }) => `${outcome} ${status}`))).toEqual(new Set(['succeeded 201']));
    expect(results.map(({ resource }) => resource.amount)).toEqual(
      Array.from({ length: 1_000 }, (_, index) => 100 + index),
    );
    const again = await api.send(file, { key: 'month-end', operation: 'createPayment' });
    expect([again.status, again.replayed, again.json.state]).toEqual([202, true, 'completed']);
  });

  test('of a file that was sent before under another key is all replays', async () => {
    const file = ndjson(await payments(300));
    await api.send(file, { key: 'first', operation: 'createPayment' });
    await api.over('first');
    const before = await countEffects(system.owner, { companyId: company.id, table: 'payments' });
    await api.send(file, { key: 'second', operation: 'createPayment' });
    const done = await api.over('second');
    expect(done.json.counts).toMatchObject({ succeeded: 0, replayed: 300 });
    const after = await countEffects(system.owner, { companyId: company.id, table: 'payments' });
    expect({ ...after, replayedAudit: 0 }).toEqual({ ...before, replayedAudit: 0 });
    expect(after.replayedAudit - before.replayedAudit).toBe(300);
  });

  test('tells each bad row, and makes the others', async () => {
    const [good, other] = await payments(2);
    const file = [
      JSON.stringify({ key: 'good-row', ...good }),
      '{"body":',
      JSON.stringify({ key: 'no-amount', body: { ...other?.body, amount: undefined } }),
      JSON.stringify({ key: 'too-much', body: { ...other?.body, amount: 100_000_000 } }),
      JSON.stringify({ key: 'other-row', ...other }),
    ].join('\n');
    await api.send(file, { key: 'mixed', operation: 'createPayment' });
    const { json } = await api.over('mixed');
    expect(json.counts).toMatchObject({ succeeded: 2, refused: 2, rejected: 1 });
    expect(json.errors).toMatchObject([
      { row: 2, status: 422, code: 'validation_failed' },
      {
        row: 3,
        key: 'no-amount',
        status: 422,
        code: 'validation_failed',
        errors: [{ in: 'body', pointer: '/amount' }],
      },
      { row: 4, key: 'too-much', status: 422, code: 'payment_exceeds_outstanding' },
    ]);
  });
});
