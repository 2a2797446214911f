import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { keyOfRow } from '../../activities/batches/row-key.ts';
import { type BatchAnswer, batchClient, startBatchWorker } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { countEffects } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let worker: Awaited<ReturnType<typeof startBatchWorker>>;
let company: Company;
let api: ReturnType<typeof batchClient>;
beforeAll(async () => {
  system = await startSystem();
  worker = await startBatchWorker(system);
});
beforeEach(async () => {
  company = await system.company();
  api = batchClient(system, company);
});
afterAll(async () => {
  await worker.close();
  await system.stop();
});

const OPERATION = { operation: 'createCustomer' };
const derived = (file: string, row: number) => keyOfRow(createHash('sha256').update(file).digest('hex'), row);
const made = () => countEffects(system.owner, { companyId: company.id, table: 'customers' });
const told = ({ status, replayed, json }: BatchAnswer) => [status, replayed, json.code ?? json.key];

const NDJSON_FILE = [
  '{"key":"mine","operation":"noSuch","body":{"name":"1"}}',
  '{"key":"good","body":{"name":"2"}}',
  '{"operation":"noSuch","body":{"name":"3"}}',
  `{"key":"deep","body":{"name":${'['.repeat(40)}${']'.repeat(40)}}}`,
  '{"key":"one","idempotencyKey":"two","body":{"name":"5"}}',
].join('\n');
const CSV_FILE = 'key,name,metadata\nmine,1,{\ngood,2,\nother,3,,\n';

describe('a row that cannot be read', () => {
  test.each([
    ['NDJSON', 'application/x-ndjson', NDJSON_FILE, ['mine', 'good', undefined, 'deep', undefined]],
    ['CSV', 'text/csv', CSV_FILE, ['mine', 'good', undefined]],
  ])('of %s is told by its own key, else by the derived one, and never written', async (_, type, file, own) => {
    const keys = own.map((key, at) => key ?? derived(file, at + 1));
    const bad = keys.filter((key) => key !== 'good');
    const checked = await api.send(file, { ...OPERATION, type, validateOnly: true });
    expect(checked.json).toMatchObject({ rows: keys.length, valid: 1 });
    expect(checked.json.errors.map(({ key }: { key: string }) => key)).toEqual(bad);
    expect((await api.send(file, { ...OPERATION, type, key: 'batch' })).status).toBe(202);
    const { json } = await api.over('batch');
    expect(json.counts).toMatchObject({ succeeded: 1, refused: bad.length });
    expect(json.errors.map(({ key }: { key: string }) => key)).toEqual(bad);
    const results = await api.results('batch');
    expect(results.map(({ key }) => key)).toEqual(keys);
    expect(results.map(({ problem }) => problem?.code)).toEqual(
      keys.map((key) => (key === 'good' ? undefined : 'validation_failed')),
    );
    expect(await made()).toMatchObject({ writes: 1, rows: 1 });
    // Its key is free.
    const alone = await company.api.post('/api/customers', { name: 'Alone' }, { key: 'mine' });
    expect([alone.status, alone.headers.get('idempotent-replayed')]).toEqual([201, null]);
    expect((await api.results('batch'))[0]).toMatchObject({ key: 'mine', outcome: 'refused', resource: null });
  });

  test('makes its file another one where a byte of it is another, whatever its key', async () => {
    const file = '{"key":"a","body":{"name":"A"}}\n{"key":"b","operation":"noSuch","body":{"name":"B"}}\n';
    const other = file.replace('"B"', '"C"');
    await api.send(file, { ...OPERATION, key: 'batch' });
    for (const state of ['queued', 'over']) {
      expect([state, ...told(await api.send(file, { ...OPERATION, key: 'batch' }))]).toEqual([
        state,
        202,
        true,
        'batch',
      ]);
      const refused = await api.send(other, { ...OPERATION, key: 'batch' });
      expect([...told(refused), refused.json.errors[0].row]).toEqual([422, false, 'idempotency_key_reused', 2]);
      await api.over('batch');
    }
    // Also where both are received at once, so that what was stored is compared.
    for (const [sent, key, expected] of [
      [file, 'same', [202, true, 'same']],
      [other, 'other', [422, false, 'idempotency_key_reused']],
    ] as const) {
      let body: ReadableStreamDefaultController<Uint8Array> | undefined;
      const stream = new ReadableStream<Uint8Array>({
        start(controller) {
          body = controller;
        },
      });
      const answer = api.send(stream, { ...OPERATION, key });
      body?.enqueue(Buffer.from(sent.slice(0, 10)));
      await until('the upload to begin', async () => (await api.status(key)).status === 200);
      expect(told(await api.send(file, { ...OPERATION, key }))).toEqual([202, false, key]);
      body?.enqueue(Buffer.from(sent.slice(10)));
      body?.close();
      expect(told(await answer)).toEqual(expected);
    }
  });

  test('is the same row where another release has said in other words what is wrong with it', async () => {
    const file = '{"key":"a","body":{"name":"A"}}\n{"key":"b","operation":"noSuch","body":{"name":"B"}}\n';
    await api.send(file, { ...OPERATION, key: 'batch' });
    await api.over('batch');
    await system.owner.query(
      `UPDATE batch_chunks SET digests = overlay(digests PLACING '\\x00000000'::bytea FROM 17) WHERE company_id = $1`,
      [company.id],
    );
    expect(told(await api.send(file, { ...OPERATION, key: 'batch' }))).toEqual([202, true, 'batch']);
    const more = `${file}{"key":"c","body":{"name":"C"}}\n`;
    for (const other of [file.replace('"B"', '"C"'), more]) {
      const refused = await api.send(other, { ...OPERATION, key: 'batch' });
      expect([...told(refused), refused.json.errors[0].row]).toEqual([422, false, 'idempotency_key_reused', 2]);
    }
  });
});

test.each([
  ['', 'application/x-ndjson'],
  ['\n \n', 'application/x-ndjson'],
  ['name,currency\n', 'text/csv'],
])('a check of a file without rows is answered as its upload: %j', async (file, type) => {
  const [checked, sent] = [
    await api.send(file, { ...OPERATION, type, validateOnly: true }),
    await api.send(file, { ...OPERATION, type, key: 'empty' }),
  ];
  expect([checked.status, checked.json.errors]).toEqual([
    422,
    [{ in: 'body', pointer: '', message: 'must have at least one row' }],
  ]);
  const ofEach = { instance: '', requestId: '', idempotencyKey: '' };
  expect({ ...checked.json, ...ofEach }).toEqual({ ...sent.json, ...ofEach });
  // The key has no batch yet, and is free.
  expect((await api.status('empty')).json).toMatchObject({ state: 'receiving', rows: null });
  expect(told(await api.send('{"body":{"name":"A"}}', { ...OPERATION, key: 'empty' }))).toEqual([202, false, 'empty']);
});

test('results are CSV only where that is accepted', async () => {
  await api.send('{"body":{}}\n', { ...OPERATION, key: 'accepted' });
  await api.over('accepted');
  for (const [accept, type] of [
    ['text/csv;q=0', 'application/x-ndjson'],
    ['text/csv;q=0.5, application/x-ndjson', 'application/x-ndjson'],
    ['*/*', 'application/x-ndjson'],
    ['text/csv, application/problem+json', 'text/csv'],
  ] as const) {
    const { headers } = await api.call('/api/batches/accepted/results', { headers: { accept } });
    expect([accept, headers.get('content-type')]).toEqual([accept, `${type}; charset=utf-8`]);
  }
});
