import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { formatKey } from '../../api/writes/idempotency-key.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { heldOperation, hold, untilHeld } from '../support/held-operation.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
let invoiceId: string;

beforeAll(async () => {
  system = await startSystem({
    operations: OPERATIONS.map((operation) =>
      operation.name === 'createPayment' ? heldOperation(operation) : operation,
    ),
    environment: { TEMPORAL_UI_URL: 'http://ui.test/' },
  });
  company = await system.company();
  invoiceId = await company.invoice();
});
afterAll(() => system.stop());

const statusOf = (key: string, prefer?: string) =>
  company.api.get(`/api/writes/${encodeURIComponent(key)}`, prefer === undefined ? {} : { prefer });
const kinds = (write: { timeline: { kind: string }[] }) => write.timeline.map(({ kind }) => kind);

describe('the story of a write', () => {
  test('is the same before, while and after', async () => {
    expect(await statusOf('story')).toMatchObject({
      status: 404,
      json: { code: 'write_not_found', retryable: true, nextAction: 'retry_same_key', writeUrl: '/api/writes/story' },
    });

    const release = await hold(system.owner);
    const headers = { 'x-request-id': 'first', prefer: 'respond-async' };
    const accepted = await company.api.post('/api/payments', paymentBody(invoiceId), { key: 'story', headers });
    expect(accepted.status).toBe(202);
    expect(accepted.headers.get('location')).toBe('/api/writes/story');
    await untilHeld(system.owner);
    const running = (await statusOf('story')).json;
    expect(running).toMatchObject({
      key: 'story',
      operation: 'createPayment',
      type: 'financial',
      state: 'running',
      status: null,
      location: null,
      resource: null,
      response: null,
      actor: { userId: company.users.owner.id },
      requestId: 'first',
      completedAt: null,
      attempts: 1,
    });
    expect(running.timeline).toMatchObject([
      { kind: 'requested', requestId: 'first', userId: company.users.owner.id },
      { kind: 'started' },
    ]);
    // The body of the 202 says so too; only its clock is the API's and not Temporal's.
    const untimed = { requestedAt: expect.any(String), timeline: running.timeline.map(untime) };
    expect(accepted.json).toEqual({ ...running, ...untimed });

    // A duplicate that meets the run through another process is told of the request that started it.
    const { url } = await system.another();
    const duplicate = { key: 'story', headers: { prefer: 'respond-async', 'x-request-id': 'second' } };
    const met = await company.as('accountant', url).post('/api/payments', paymentBody(invoiceId), duplicate);
    expect([met.status, met.json]).toEqual([202, running]);

    const conflict = await company.api.post('/api/payments', paymentBody(invoiceId, 7), { key: 'story' });
    expect(conflict.status).toBe(422);
    await release();
    const first = await company.api.post('/api/payments', paymentBody(invoiceId), { key: 'story' });
    await company.as('accountant').post('/api/payments', paymentBody(invoiceId), { key: 'story' });
    const finished = (await statusOf('story')).json;
    const { workflow, requestedAt, writeId } = running;
    expect(finished).toMatchObject({
      ...{ key: 'story', writeId, operation: 'createPayment', type: 'financial', requestedAt, requestId: 'first' },
      state: 'succeeded',
      status: 201,
      location: `/api/payments/${writeId}`,
      resource: { type: 'payment', id: writeId, url: `/api/payments/${writeId}` },
      response: first.json,
      actor: running.actor,
      attempts: 1,
      workflow: { id: workflow.id },
    });
    expect(kinds(finished)).toEqual([
      ...['requested', 'started', 'conflicted', 'completed', 'event_recorded', 'replayed', 'replayed'],
    ]);
    expect(finished.timeline.slice(0, 2)).toEqual(running.timeline);
    expect(finished.timeline[4]).toMatchObject({ detail: 'payment.created', eventId: expect.any(String) });
    expect(finished.timeline.at(-1)).toMatchObject({ userId: company.users.accountant.id });
    const times = finished.timeline.map(({ at }: { at: string }) => at);
    expect(times).toEqual(times.toSorted());

    const [listed] = (await company.api.get('/api/writes?limit=1')).json.items;
    const { response: _, request, timeline: __, ...summary } = finished;
    expect(request).toEqual({ params: {}, body: expect.objectContaining({ invoiceId, amount: 100 }) });
    expect(listed).toEqual(summary);
  });

  function untime(item: Record<string, unknown>) {
    return { ...item, at: expect.any(String) };
  }

  test('links to Temporal’s UI, whatever the key', async () => {
    const key = 'of "all" kinds: \\ / % ~ ; ?#[]@!$&\'()*+,=';
    await company.api.created('/api/payments', paymentBody(invoiceId), { key: formatKey(key) });
    const write = (await statusOf(key)).json;
    expect(write).toMatchObject({ key, state: 'succeeded' });
    expect(write.workflow.url).toBe(
      `http://ui.test/namespaces/default/workflows/${encodeURIComponent(write.workflow.id)}`,
    );
    // The answer leaves at the COMMIT; the run closes a moment later.
    const handle = system.temporal.workflow.getHandle(write.workflow.id);
    await handle.result();
    expect((await handle.describe()).status.name).toBe('COMPLETED');
  });

  test('of a rejection tells its code, and has no event', async () => {
    const refused = await company.api.post('/api/payments', paymentBody(invoiceId, 10_000_000), { key: 'too-much' });
    expect(refused.status).toBe(422);
    const write = (await statusOf('too-much')).json;
    expect(write).toMatchObject({ state: 'rejected', status: 422, location: null, resource: null });
    expect(write.response).toEqual(refused.json);
    expect(kinds(write)).toEqual(['requested', 'started', 'rejected']);
    expect(write.timeline.at(-1).detail).toBe('payment_exceeds_outstanding');
  });

  test('keeps its first 20 and its last 100 items through a storm of replays', async () => {
    await company.api.created('/api/payments', paymentBody(invoiceId), { key: 'storm' });
    await system.owner.query(
      `INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, idempotency_key, user_id,
         status, request_id, route_path, http_method)
       SELECT $1, 'createPayment', 'financial', 'storm', $2, 'replayed', 'replay-' || n, '/api/payments', 'POST'
       FROM generate_series(1, 300) AS n`,
      [company.id, company.users.owner.id],
    );
    const { timeline, timelineTruncated } = (await statusOf('storm')).json;
    expect(timelineTruncated).toBe(true);
    expect(timeline).toHaveLength(120);
    expect(timeline[0].kind).toBe('requested');
    expect(timeline.slice(4, 20).map(({ requestId }: { requestId: string }) => requestId)).toEqual(
      Array.from({ length: 16 }, (_, index) => `replay-${index + 1}`),
    );
    expect(timeline.slice(20).map(({ requestId }: { requestId: string }) => requestId)).toEqual(
      Array.from({ length: 100 }, (_, index) => `replay-${index + 201}`),
    );
  });

  test.each(['%00', 'a%0Ab', '%C3%A9', '%20', 'x'.repeat(256)])(
    'a path with no key in it (%s) is refused',
    async (segment) => {
      expect(await company.api.get(`/api/writes/${segment}`)).toMatchObject({
        status: 422,
        json: { code: 'validation_failed', errors: [{ in: 'path', pointer: '/key' }] },
      });
    },
  );
});

describe('a status that waits', () => {
  test('answers as soon as the outcome is there', async () => {
    const release = await hold(system.owner);
    const headers = { prefer: 'respond-async' };
    await company.api.post('/api/payments', paymentBody(invoiceId), { key: 'waited-for', headers });
    await untilHeld(system.owner);
    const waiting = statusOf('waited-for', 'wait=60');
    const started = performance.now();
    await release();
    const answer = await waiting;
    expect(answer.json.state).toBe('succeeded');
    expect(answer.headers.get('preference-applied')).toBe('wait=60');
    expect(performance.now() - started).toBeLessThan(50_000);
  });

  test('says running at its deadline, and at once without a preference', async () => {
    const release = await hold(system.owner);
    const headers = { prefer: 'respond-async' };
    await company.api.post('/api/payments', paymentBody(invoiceId), { key: 'slow', headers });
    await untilHeld(system.owner);
    const started = performance.now();
    expect((await statusOf('slow')).json.state).toBe('running');
    const answer = await statusOf('slow', 'wait=1');
    expect(answer.json.state).toBe('running');
    expect(performance.now() - started).toBeGreaterThan(900);
    expect((await statusOf('slow', 'wait=soon')).headers.get('preference-applied')).toBeNull();
    await release();
    expect((await statusOf('slow', 'wait=60')).json.state).toBe('succeeded');
  });
});

describe('who may read a write', () => {
  test('its actor and those who may read the resource; for others it is not there', async () => {
    await company.as('accountant').created('/api/payments', paymentBody(invoiceId), { key: 'mine' });
    for (const role of ['owner', 'admin', 'accountant', 'auditor', 'manager'] as const) {
      expect((await company.as(role).get('/api/writes/mine')).json.state).toBe('succeeded');
    }
    for (const role of ['inventory_manager', 'employee', 'customer', 'user'] as const) {
      const hidden = await company.as(role).get('/api/writes/mine');
      const unknown = await company.as(role).get('/api/writes/none');
      expect(hidden).toMatchObject({ status: 404, json: { code: 'write_not_found' } });
      expect(hidden.json.detail).toBe(unknown.json.detail);
    }
    const other = await system.company();
    expect((await other.api.get('/api/writes/mine')).json.code).toBe('write_not_found');
  });

  test('while it runs, too', async () => {
    const release = await hold(system.owner);
    const headers = { prefer: 'respond-async' };
    await company.as('accountant').post('/api/payments', paymentBody(invoiceId), { key: 'runs', headers });
    await untilHeld(system.owner);
    expect((await company.as('auditor').get('/api/writes/runs')).json.state).toBe('running');
    expect((await company.as('employee').get('/api/writes/runs')).status).toBe(404);
    await release();
  });

  test('an actor whose roles were revoked is told of the write, but gets no stored body', async () => {
    const left = await system.company();
    await left.as('accountant').created('/api/payments', paymentBody(await left.invoice()), { key: 'before' });
    await system.owner.query(`UPDATE memberships SET roles = '{employee}' WHERE company_id = $1 AND user_id = $2`, [
      left.id,
      left.users.accountant.id,
    ]);
    const told = (await left.as('accountant').get('/api/writes/before')).json;
    expect(told).toMatchObject({ state: 'succeeded', response: null, request: null });
  });

  test('the list holds what its reader may read, and is refused to those who write and read nothing', async () => {
    const keys = async (role: 'manager' | 'inventory_manager' | 'auditor') =>
      (await company.as(role).get('/api/writes?limit=200')).json.items.map(({ key }: { key: string }) => key);
    await company.api.send('POST', '/api/writes/taken-away/cancel');
    expect(await keys('auditor')).toContain('taken-away');
    expect(await keys('manager')).toContain('mine');
    expect(await keys('manager')).not.toContain('taken-away');
    expect(await keys('inventory_manager')).toEqual([]);
    expect((await company.as('employee').get('/api/writes')).status).toBe(403);
  });
});
