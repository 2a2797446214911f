import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { batchClient, ndjson } from '../support/batches.ts';
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
});
