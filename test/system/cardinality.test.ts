import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROW_OUTCOMES } from '../../activities/batches/batch-row.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { PROBLEMS } from '../../api/http/problems.ts';
import { errorCatalog } from '../../api/openapi/error-catalog.ts';
import { UPLOAD_ENDS } from '../../worker/metrics.ts';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { parse, type Sample, scrape } from '../support/metrics-page.ts';
import { startRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';

const ROW_ENDS = Object.keys(ROW_OUTCOMES).filter((outcome) => outcome !== 'pending');

/** Every value that a label may have. A label that is not here, or a value, is one that a client might make up. */
const VALUES: Readonly<Record<string, ReadonlySet<string>>> = {
  operation: new Set([...OPERATIONS.map(({ name }) => name), 'unknown']),
  type: new Set(['financial', 'high-risk', 'unknown']),
  status: new Set(['new', 'replayed', 'failed']),
  error_type: new Set(['rejected', 'mismatch', 'cancelled', 'run_failed', 'unavailable']),
  answer: new Set(['first', 'replay']),
  by: new Set(['opened', 'joined', 'attached']),
  end: new Set(['ended', 'accepted', 'in_progress', 'refused', ...UPLOAD_ENDS]),
  lane: new Set(['key', 'group']),
  code: new Set([...Object.keys(PROBLEMS), ...errorCatalog(OPERATIONS).map(({ code }) => code)]),
  pool: new Set(['writes', 'lookups', 'relay', 'sealer']),
  state: new Set([
    'busy',
    'idle',
    'max',
    'wanted',
    'not_taken',
    'pending',
    'given_up',
    'trusted',
    'verifying',
    'replaced',
    'queued',
    'running',
    'paused',
  ]),
  outcome: new Set(['delivered', 'given_up', ...ROW_ENDS]),
  log: new Set(['journal', 'audit']),
  kind: new Set(['unreachable', 'refused', 'invalid']),
  scope: new Set(['recent', 'all']),
  what: new Set(['workflow', 'webhooks']),
};

/** Of the runtime: its version, kinds of garbage collections, handles and heap spaces. */
const OF_NODE = /^(nodejs|process)_/;

/** Of an API and a worker together, whose parts have a registry each here. Counters begin at zero, so they are all there; histograms grow by what is used of them. */
const MOST_SERIES = 2_000;
const MOST_ROUNDS = 6;

let system: System;
let relay: Awaited<ReturnType<typeof startRelay>>;
let batches: Awaited<ReturnType<typeof startBatchWorker>>;
beforeAll(async () => {
  system = await startSystem();
  relay = await startRelay(system);
  batches = await startBatchWorker(system);
});
afterAll(async () => {
  await relay.close();
  await batches.close();
  await system.stop();
});

describe('the series of a process', () => {
  test('are as many after one more round of odd requests, and each label’s value is one of ours', async () => {
    // A way to an answer that only chance brings about has its series from its first time on.
    let before: ReadonlySet<string>;
    let samples: Awaited<ReturnType<typeof scrapeAll>> = [];
    let after: ReadonlySet<string> = new Set();
    let rounds = 0;
    do {
      await oddRequests(await system.company());
      before = after;
      samples = await scrapeAll();
      after = seriesOf(samples);
      rounds += 1;
    } while (rounds < MOST_ROUNDS && [...after].some((series) => !before.has(series)));

    const own = samples.filter(({ name }) => !OF_NODE.test(name));
    const strange = own.flatMap(({ name, labels }) =>
      Object.entries(labels)
        .filter(([label, value]) => label !== 'le' && VALUES[label]?.has(value) !== true)
        .map(([label, value]) => `${name}{${label}="${value}"}`),
    );
    expect(strange).toEqual([]);
    expect([...after].filter((series) => !before.has(series))).toEqual([]);
    expect(after.size).toBeLessThan(MOST_SERIES);
  });

  test('are there before the first event, so that `increase` sees it', async () => {
    const samples = await scrapeAll();
    const has = (name: string, labels: Record<string, string>) =>
      samples.some(
        (one) => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value),
      );
    for (const { name: operation, type } of OPERATIONS) {
      const labels = { operation, type };
      for (const status of VALUES['status'] as Set<string>) {
        expect([operation, has('idempotent_writes_total', { ...labels, status })]).toEqual([operation, true]);
      }
      for (const error_type of ['rejected', 'mismatch', 'run_failed', 'unavailable']) {
        expect([operation, has('idempotent_writes_failed_total', { ...labels, error_type })]).toEqual([
          operation,
          true,
        ]);
      }
    }
    for (const outcome of ['delivered', 'failed', 'given_up']) {
      expect([outcome, has('webhook_attempts_total', { outcome })]).toEqual([outcome, true]);
    }
    for (const operation of VALUES['operation'] as Set<string>) {
      for (const outcome of ROW_ENDS) {
        expect([operation, outcome, has('batch_rows_total', { operation, outcome })]).toEqual([
          operation,
          outcome,
          true,
        ]);
      }
    }
    for (const end of UPLOAD_ENDS) expect([end, has('batch_uploads_total', { end })]).toEqual([end, true]);
  });
});

async function scrapeAll(): Promise<Sample[]> {
  const workers = [relay, batches].map(({ metrics }) => metrics.registry.metrics());
  return [...(await scrape(`${system.url}/metrics`)), ...(await Promise.all(workers)).flatMap(parse)];
}

function seriesOf(samples: readonly Sample[]): Set<string> {
  return new Set(
    samples.filter(({ name }) => !OF_NODE.test(name)).map(({ name, labels }) => `${name} ${JSON.stringify(labels)}`),
  );
}

/** All that a client can make up, with other values in each round: paths, methods, keys, headers, names, bodies. */
async function oddRequests(company: Company): Promise<void> {
  const odd = () => `${randomUUID()} "odd"/~:é`.slice(0, 40);
  const { api } = company;
  const bare = (method: string, path: string, headers: Record<string, string> = {}, body?: string) =>
    fetch(system.url + path, { method, headers, ...(body === undefined ? {} : { body }) }).then((answer) =>
      answer.text(),
    );
  await bare('GET', `/${encodeURIComponent(odd())}`);
  await bare('PROPFIND', `/api/payments`);
  await bare('GET', '/api/%zz');
  await bare('POST', '/api/payments', { authorization: `Bearer ${odd().replace(/[^ -~]/g, '')}` });
  await api.send('DELETE', '/api/payments');
  await api.send('POST', `/api/${randomUUID()}`);
  await api.get(`/api/invoices/${randomUUID()}`);
  await api.get(`/api/writes/${encodeURIComponent(odd().replace(/[^ -~]/g, ''))}`);
  await api.get(`/api/customers?cursor=${randomUUID()}&limit=7000`);
  await api.post(`/api/workflows/${randomUUID().slice(0, 8)}/trigger`, { payload: {} });
  await api.post(`/api/invoices/${randomUUID()}/finalize`, {}, { key: `odd key "${randomUUID()}" ~:` });
  await api.post('/api/customers', '{', { key: randomUUID() });
  await api.post('/api/customers', { name: odd(), [randomUUID()]: 1 });
  await api.post('/api/customers', { name: odd() }, { key: '"unterminated' });
  await api.post(
    '/api/customers',
    { name: odd() },
    { headers: { 'x-request-id': randomUUID(), 'user-agent': odd().replace(/[^ -~]/g, '') } },
  );
  await company.as('auditor').post('/api/customers', { name: odd() });

  const key = randomUUID();
  const body = paymentBody(await company.invoice());
  await Promise.all([1, 2, 3].map(() => api.post('/api/payments', body, { key })));
  await api.post('/api/payments', { ...body, amount: 99 }, { key });
  await api.post('/api/payments', { ...body, amount: 10_000_000 });
  await api.post('/api/customers', { name: odd() }, { headers: { prefer: 'respond-async' } });
  const cancelled = randomUUID();
  await api.send('POST', `/api/writes/${cancelled}/cancel`);
  await api.post('/api/customers', { name: odd() }, { key: cancelled });
  await api.send('POST', `/api/writes/${key}/cancel`);

  const sender = batchClient(system, company);
  const rows = [{ key: randomUUID(), body: { name: odd() } }, { body: { [randomUUID()]: 1 } }, { operation: odd() }];
  await sender.send(`${ndjson(rows)}{"body`, { key: randomUUID(), validateOnly: true });
  await sender.send('', { key: randomUUID(), operation: 'createCustomer' });
  const batchKey = randomUUID();
  await sender.send(`${ndjson(rows)}{"body`, { key: batchKey, operation: 'createCustomer' });
  await sender.over(batchKey);
}
