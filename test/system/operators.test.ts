import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Snapshot } from '../../api/operators/now/snapshot.ts';
import { setPolicies } from '../support/approvals.ts';
import { bankRow } from '../support/bank.ts';
import type { Company } from '../support/companies.ts';
import { employeeBody, executedPayRun } from '../support/payroll.ts';
import { startPrometheus } from '../support/prometheus.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';
import { skipWithout } from '../support/tools.ts';

const OPERATOR_AUDIENCE = 'accubooks-operators';
/** Nobody listens there. */
const SILENT = 'http://127.0.0.1:1/metrics';
const PATIENCE = { timeout: 60_000, interval: 250 };
const ONE_STRETCH_OF = 120;
/** Of which company something is, where it is of none. */
const NOBODYS = '00000000-0000-0000-0000-000000000000';

let system: System;
let company: Company;
let url: string;
let token: string;

const tokenOf = (ttlSeconds?: number) =>
  signToken(
    { userId: 'ada', companyId: '' },
    { ...(ttlSeconds === undefined ? {} : { ttlSeconds }), claims: { aud: OPERATOR_AUDIENCE, company_id: undefined } },
  );

beforeAll(async () => {
  system = await startSystem();
  company = await system.company('Seen Ltd');
  const environment = { OPERATOR_AUDIENCE, CONSOLE_METRICS_URLS: `${system.url}/metrics,${SILENT}` };
  ({ url } = await system.another({ environment }));
  token = await tokenOf();
});
afterAll(() => system.stop());

async function get(path: string, { at = url, as = token } = {}) {
  const answer = await fetch(`${at}${path}`, { headers: { authorization: `Bearer ${as}` } });
  // biome-ignore lint/suspicious/noExplicitAny: each test says what it expects of an answer.
  return { status: answer.status, json: (await answer.json()) as any };
}
const readNow = async (at = url): Promise<Snapshot> => (await get('/operator/now', { at })).json;
const readWrite = (key: string, companyId = company.id) =>
  get(`/operator/companies/${companyId}/writes/${encodeURIComponent(key)}`);

async function pay(key: string): Promise<void> {
  const body = { name: 'Zaphod', currency: 'USD' };
  const sent = { key, headers: { prefer: 'wait=60' } };
  expect((await company.as('owner').post('/api/customers', body, sent)).status).toBe(201);
}

/** Reads a stream until it ends, or `until` says that it is enough. */
async function follow(as: string, until: (text: string) => boolean, at = url): Promise<string> {
  const leaving = new AbortController();
  const headers = { authorization: `Bearer ${as}` };
  const answer = await fetch(`${at}/operator/live`, { headers, signal: leaving.signal });
  expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
  let text = '';
  for await (const bytes of answer.body ?? []) {
    text += Buffer.from(bytes).toString();
    if (!until(text)) continue;
    leaving.abort();
    break;
  }
  return text;
}

describe('how the system is', () => {
  test('tells of the processes that are known, of what they have written, and of whom it cannot ask', async () => {
    await expect
      .poll(async () => {
        await pay(randomUUID());
        return (await readNow()).now.writesPerSecond.succeeded;
      }, PATIENCE)
      .toBeGreaterThan(0);
    const { source, processes, now, lastHour, alerts, notes } = await readNow();
    expect({ source, alerts }).toEqual({ source: 'processes', alerts: null });
    expect(processes).toEqual([
      { name: 'this API', answers: true },
      { name: new URL(system.url).host, answers: true },
      { name: '127.0.0.1:1', answers: false },
    ]);
    expect(notes).toEqual([
      'Alerts are not evaluated: PROMETHEUS_URL is not set.',
      'The metrics of 127.0.0.1:1 cannot be read.',
    ]);
    expect(now).toMatchObject({ inFlight: expect.any(Number), p50Ms: expect.any(Number), p95Ms: expect.any(Number) });
    // No worker is among the processes.
    expect(now).toMatchObject({ relayLagSeconds: null, sealLagSeconds: null });
    const lengths = [lastHour.at, lastHour.p95Ms, ...Object.values(lastHour.writesPerSecond)].map((one) => one.length);
    expect(new Set(lengths)).toEqual(new Set([ONE_STRETCH_OF]));
  });

  test('comes live, one at once and the next ones by themselves, and ends with the token', async () => {
    // Within the leeway for clocks that differ, which ends after some seconds.
    const text = await follow(await tokenOf(-15), () => false);
    const events = text.split('\n\n').filter((event) => event !== '');
    expect(events.length).toBeGreaterThan(1);
    for (const event of events) {
      const [, data = ''] = /^event: snapshot\ndata: (.*)$/.exec(event) ?? [];
      expect(JSON.parse(data)).toMatchObject({ source: 'processes', now: {}, lastHour: {} });
    }
  });

  test('ends when the process drains, which then lets nobody in', async () => {
    const leaving = await system.another({ environment: { OPERATOR_AUDIENCE } });
    let isDraining = false;
    await follow(
      token,
      () => {
        if (!isDraining) leaving.drain();
        isDraining = true;
        return false;
      },
      leaving.url,
    );
    expect(isDraining).toBe(true);
    const { status, json } = await get('/operator/live', { at: leaving.url });
    expect([status, json.code]).toEqual([503, 'overloaded']);
    await leaving.close();
  });

  test('is Prometheus’ to tell where there is one, with its alerts', async (context) => {
    skipWithout('prometheus', context);
    const rules = [
      'groups:',
      '  - name: tests',
      '    rules:',
      '      - { alert: Always, expr: vector(1), labels: { severity: warning }, annotations: { summary: It always fires } }',
    ].join('\n');
    const prometheus = await startPrometheus({ rules, jobs: { 'accubooks-api': new URL(system.url).host } });
    try {
      const asking = await system.another({ environment: { OPERATOR_AUDIENCE, PROMETHEUS_URL: prometheus.url } });
      await expect
        .poll(async () => {
          await pay(randomUUID());
          const { now, processes, alerts } = await readNow(asking.url);
          return {
            isWriting: (now.writesPerSecond.succeeded ?? 0) > 0 && (now.p95Ms ?? 0) > 0,
            inFlight: now.inFlight !== null,
            answers: processes.find(({ name }) => name.startsWith('accubooks-api'))?.answers,
            alerts: alerts?.map(({ name, state, severity, summary }) => [name, state, severity, summary]),
          };
        }, PATIENCE)
        .toEqual({
          isWriting: true,
          inFlight: true,
          answers: true,
          alerts: [['Always', 'firing', 'warning', 'It always fires']],
        });
    } finally {
      await prometheus.stop();
    }
  });

  test('says that Prometheus cannot be asked, instead of showing zeros', async () => {
    const { url: asking } = await system.another({
      environment: { OPERATOR_AUDIENCE, PROMETHEUS_URL: 'http://127.0.0.1:1' },
    });
    expect(await readNow(asking)).toMatchObject({
      alerts: null,
      processes: [],
      now: { writesPerSecond: { succeeded: null }, inFlight: null },
      notes: ['Prometheus cannot be asked: it cannot be reached.'],
    });
  });
});

describe('any write', () => {
  test('is found by its company and its key, with its timeline, and the company’s security log has who has read it', async () => {
    const key = `${randomUUID()}/a%b`;
    await pay(key);
    await pay(key);
    const found = (await get('/operator/companies?search=seen')).json;
    expect(found).toEqual({ items: [{ id: company.id, name: 'Seen Ltd', timeZone: 'UTC' }] });
    expect((await get(`/operator/companies?id=${company.id}`)).json).toEqual(found);
    const { status, json } = await readWrite(key);
    expect(status).toBe(200);
    expect(json).toMatchObject({ key, state: 'succeeded', operation: 'createCustomer', response: { name: 'Zaphod' } });
    expect(json.timeline.map(({ kind }: { kind: string }) => kind)).toEqual(
      expect.arrayContaining(['requested', 'completed', 'replayed']),
    );
    const list = await get(`/operator/companies/${company.id}/writes?writeId=${json.writeId}&state=succeeded`);
    expect(list.json).toMatchObject({ items: [{ key }], nextCursor: null });
    // At once: what leaves no trace is not read.
    const { rows } = await system.owner.query(
      `SELECT company_id, reason, subject, action, details FROM security_log
       WHERE company_id = ANY ($1) AND event = 'operator_command' ORDER BY timestamp, reason`,
      [[NOBODYS, company.id]],
    );
    const companies = { reason: 'companies_listed', subject: 'ada', action: 'GET /operator/companies', details: {} };
    expect(rows).toEqual([
      { company_id: NOBODYS, ...companies },
      { company_id: company.id, ...companies },
      {
        company_id: company.id,
        reason: 'write_read',
        subject: 'ada',
        action: 'GET /operator/companies/:companyId/writes/:key',
        details: { key },
      },
      {
        company_id: company.id,
        reason: 'writes_listed',
        subject: 'ada',
        action: 'GET /operator/companies/:companyId/writes',
        details: { askedBy: ['state', 'writeId'], writeId: json.writeId },
      },
    ]);
  });

  test('that shows what somebody is paid has no bodies', async () => {
    const other = await system.company('Paying Ltd');
    await executedPayRun(other);
    const { json } = await get(`/operator/companies/${other.id}/writes`);
    const operations = new Map<string, string>(
      json.items.map(({ operation, key }: { operation: string; key: string }) => [operation, key]),
    );
    expect([...operations.keys()].toSorted()).toEqual(['createEmployee', 'createPayRun', 'executePayroll']);
    for (const key of operations.values()) {
      const write = (await readWrite(key, other.id)).json;
      expect(write).toMatchObject({ state: 'succeeded', response: null });
      expect(JSON.stringify(write)).not.toContain('5000000');
    }
  });

  test('tells nobody’s pay by a search for amounts, nor by the comments of those who decided about it', async () => {
    const paying = await system.company('Approving Ltd');
    await executedPayRun(paying);
    const writes = `/operator/companies/${paying.id}/writes`;
    const { totals, payDate } = (await paying.api.get('/api/payroll/pay-runs')).json.items[0];
    for (const search of [`postedOn=${payDate}&amount=${totals.net}`, `postedOn=${payDate}`, `amount=${totals.net}`]) {
      const { status, json } = await get(`${writes}?operation=executePayroll&${search}`);
      expect([search, status, json.code]).toEqual([search, 422, 'validation_failed']);
    }
    await setPolicies(paying, [{ operation: 'createEmployee', approverRoles: ['manager'] }]);
    const comment = JSON.stringify({ comment: 'Not 5000000 again' });
    const headers = { 'content-type': 'application/json' };
    const decide = (key: string, action: string) =>
      paying.as('manager').send('POST', `/api/writes/${key}/${action}`, { body: comment, headers });
    const outcomes = { approve: 'succeeded', reject: 'rejected' };
    for (const [action, state] of Object.entries(outcomes)) {
      await paying.api.post('/api/payroll/employees', employeeBody(), { key: action });
      expect((await decide(action, action)).json.state).toBe(state);
      expect((await paying.api.get(`/api/writes/${action}`)).text).toContain('5000000 again');
      const { json } = await readWrite(action, paying.id);
      expect(json).toMatchObject({ state, approvals: [{ comment: null }], request: null, response: null });
      expect(JSON.stringify(json)).not.toContain('5000000');
    }
    await setPolicies(paying, [{ operation: 'createEmployee', approverRoles: ['manager'], count: 2 }]);
    await paying.api.post('/api/payroll/employees', employeeBody(), { key: 'cancelled' });
    await decide('cancelled', 'approve');
    expect((await paying.api.send('POST', '/api/writes/cancelled/cancel')).status).toBe(200);
    const { json } = await readWrite('cancelled', paying.id);
    expect(json).toMatchObject({ state: 'cancelled', approvals: [{ comment: null }], request: null, response: null });
    expect(JSON.stringify(json)).not.toContain('5000000');
  });

  test('has no bodies where pay may be among what the bank has booked, or was posted by hand', async () => {
    const [description, date, currency] = ['Pay of Sam', '2026-01-30', 'USD'];
    const lines = [
      { accountCode: '6000', amount: 5_000_000 },
      { accountCode: '1000', amount: -5_000_000 },
    ];
    const sent = {
      '/api/bank-transactions/import': { transactions: [bankRow(-5_000_000, { description })] },
      '/api/ledger/entries': { description, date, currency, lines },
    };
    for (const [path, body] of Object.entries(sent)) {
      const key = randomUUID();
      await company.api.created(path, body, { key });
      expect((await company.api.get(`/api/writes/${key}`)).text).toContain(description);
      const { json } = await readWrite(key);
      expect(json).toMatchObject({ state: 'succeeded', request: null, response: null });
      expect(JSON.stringify(json)).not.toContain(description);
    }
  });

  test('of a company that there is not cannot be listed, which is recorded as well', async () => {
    const nobodys = randomUUID();
    const { status, json } = await get(`/operator/companies/${nobodys}/writes?requestId=sought`);
    expect([status, json.code]).toEqual([404, 'company_not_found']);
    const { rows } = await system.owner.query('SELECT reason, details FROM security_log WHERE company_id = $1', [
      nobodys,
    ]);
    expect(rows).toEqual([{ reason: 'writes_listed', details: { askedBy: ['requestId'], requestId: 'sought' } }]);
    const refused = await get(`/operator/companies/${company.id}/writes?resource=%00`);
    expect([refused.status, refused.json.errors]).toMatchObject([422, [{ in: 'query', pointer: '/resource' }]]);
  });

  test('of another company is not there, nor is a company that there is not', async () => {
    const key = randomUUID();
    await pay(key);
    const other = await system.company('Other Ltd');
    for (const companyId of [other.id, randomUUID()]) {
      const { status, json } = await readWrite(key, companyId);
      expect([status, json.code]).toEqual([404, 'write_not_found']);
    }
    expect((await get(`/operator/companies?id=${randomUUID()}`)).json).toEqual({ items: [] });
    for (const path of ['companies/no-id/writes', 'companies?search=%00', 'companies?id=none', 'companies?other=1']) {
      expect([path, (await get(`/operator/${path}`)).status]).toEqual([path, 422]);
    }
  });
});
