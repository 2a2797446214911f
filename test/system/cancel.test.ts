import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { formatKey } from '../../api/writes/idempotency-key.ts';
import type { ApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
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
    // An attempt that is held ends by its lock timeout, half of this: then the key is free for a moment.
    environment: { STATEMENT_TIMEOUT_MS: '2000' },
  });
  company = await system.company();
  invoiceId = await company.invoice();
});
afterAll(() => system.stop());

const cancel = (key: string, api: ApiClient = company.api) =>
  api.send('POST', `/api/writes/${encodeURIComponent(key)}/cancel`);
const pay = (key: string, api: ApiClient = company.api, headers = {}) =>
  api.post('/api/payments', paymentBody(invoiceId, 1), { key: formatKey(key), headers });
const effectsOf = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });

const NOTHING = { writes: 0, rows: 0, entries: 0, newAudit: 0, events: 0 };

/** What every request with a cancelled key is answered, the one that was in flight too. */
function expectCancelled(answer: Awaited<ReturnType<typeof pay>>, key: string): void {
  expect(answer.status).toBe(409);
  expect(answer.replayed).toBe(true);
  expect(answer.headers.get('content-type')).toContain('application/problem+json');
  expect(answer.json).toEqual({
    type: '/docs/errors#write_cancelled',
    title: expect.any(String),
    status: 409,
    detail: expect.any(String),
    instance: `/api/writes/${encodeURIComponent(key)}`,
    code: 'write_cancelled',
    retryable: false,
    nextAction: 'use_new_key',
  });
}

describe('a key that is cancelled before its write arrives', () => {
  test('answers 409 to every request with it, and nothing ever happens', async () => {
    const cancelled = await cancel('early');
    expect(cancelled.status).toBe(200);
    expect(cancelled.json).toMatchObject({
      ...{ key: 'early', writeId: null, operation: null, type: null, state: 'cancelled', status: 409 },
      ...{ location: null, resource: null, workflow: null, attempts: 0 },
      actor: { userId: company.users.owner.id },
      requestId: cancelled.headers.get('x-request-id'),
      response: { code: 'write_cancelled' },
      timeline: [{ kind: 'cancelled', userId: company.users.owner.id }],
    });
    expect(cancelled.json.response).not.toHaveProperty('requestId');

    const payment = await pay('early');
    expectCancelled(payment, 'early');
    const customer = await company.api.post('/api/customers', { name: 'Other' }, { key: 'early' });
    expect(customer.text).toBe(payment.text);
    expect(await effectsOf('early')).toEqual({ ...NOTHING, failedAudit: 1, replayedAudit: 2 });
    expect((await company.api.get('/api/writes/early')).json.timeline).toMatchObject([
      { kind: 'cancelled' },
      { kind: 'replayed' },
      { kind: 'replayed' },
    ]);
  });

  test('can be cancelled again, and tells the first cancel', async () => {
    const first = await cancel('twice');
    const second = await cancel('twice', company.as('admin'));
    expect([second.status, second.json]).toEqual([200, first.json]);
    expect(await effectsOf('twice')).toMatchObject({ failedAudit: 1 });
  });

  test.each(['of "all" kinds: \\ / % ~ ; ?#[]@!', '~', 'a/cancel', 'x'.repeat(255)])('may be %s', async (key) => {
    expect((await cancel(key)).json).toMatchObject({ key, state: 'cancelled' });
    expectCancelled(await pay(key), key);
  });

  test('is of one company: the same key of another is untouched', async () => {
    const other = await system.company();
    await cancel('ours');
    const body = paymentBody(await other.invoice());
    expect((await other.api.post('/api/payments', body, { key: 'ours' })).status).toBe(201);
    expect((await other.api.get('/api/writes/ours')).json.state).toBe('succeeded');
  });
});

describe('a write that has its outcome', () => {
  test('cannot be cancelled any more; the answer says what it came to', async () => {
    const paid = await pay('done');
    const late = await cancel('done');
    expect(late).toMatchObject({
      status: 409,
      json: { code: 'too_late', nextAction: 'none', retryable: false, writeUrl: '/api/writes/done' },
    });
    expect(late.json.detail).toContain('succeeded');
    expect((await pay('done')).text).toBe(paid.text);
    expect(await effectsOf('done')).toMatchObject({ writes: 1, rows: 1, newAudit: 1, failedAudit: 0 });

    const rejected = await company.api.post('/api/payments', paymentBody(invoiceId, 10_000_000), { key: 'no' });
    expect(rejected.status).toBe(422);
    expect((await cancel('no')).json).toMatchObject({ code: 'too_late', detail: expect.stringContaining('rejected') });
  });
});

describe('a write that runs', () => {
  test('is cancelled between two attempts, and its waiting client is told', async () => {
    const release = await hold(system.owner);
    const waiting = pay('between', company.api, { prefer: 'wait=60' });
    await untilHeld(system.owner);
    // Waits for the attempt that holds the key, which ends by its lock timeout: then the cancel is first.
    const cancelled = await untilCancelled('between');
    expect(cancelled.json).toMatchObject({ key: 'between', state: 'cancelled' });
    await release();
    expectCancelled(await waiting, 'between');
    expect(await effectsOf('between')).toMatchObject(NOTHING);
    // The run comes to its end as well, by the row.
    const run = system.temporal.workflow.getHandle(`${company.id}:between`);
    expect(await run.result()).toMatchObject({ outcome: 'cancelled', statusCode: 409, first: false });
  });

  test('whose transaction commits first is told as too late', async () => {
    // An attempt that is held ends by its lock timeout, the first one soon: then the cancel is first, and another key is tried.
    for (let count = 0; count < 20; count += 1) {
      const key = `committed-${count}`;
      const release = await hold(system.owner);
      const waiting = pay(key, company.api, { prefer: 'wait=60' });
      await untilHeld(system.owner);
      const cancelling = cancel(key);
      await untilCancelWaits();
      await release();
      const [paid, cancelled] = await Promise.all([waiting, cancelling]);
      if (cancelled.status === 200) {
        expectCancelled(paid, key);
        continue;
      }
      expect(cancelled.json).toMatchObject({ code: 'too_late' });
      expect(paid.status).toBe(201);
      expect(await effectsOf(key)).toMatchObject({ writes: 1, rows: 1, failedAudit: 0 });
      return;
    }
    throw new Error('The write never committed before the cancel');
  });

  test('keeps the cancel waiting for no longer than a lock may take; then the cancel is to be sent again', async () => {
    const session = await system.owner.connect();
    onTestFinished(() => session.release(true));
    await session.query('BEGIN');
    await session.query(
      `INSERT INTO idempotent_writes (company_id, idempotency_key, outcome, status_code, response_body, user_id,
         request_id, requested_at, completed_at)
       VALUES ($1, 'stuck', 'cancelled', 409, '{}', $2, 'a transaction that does not end', now(), now())`,
      [company.id, company.users.owner.id],
    );
    const answer = await cancel('stuck');
    expect(answer).toMatchObject({ status: 409, json: { code: 'idempotency_in_progress', nextAction: 'wait' } });
    expect(answer.headers.get('retry-after')).toBe('1');
    await session.query('ROLLBACK');
    expect((await cancel('stuck')).json).toMatchObject({ state: 'cancelled' });
  });

  /** A cancel may meet attempt after attempt; it is told so each time, and sent again. */
  async function untilCancelled(key: string) {
    for (let count = 0; count < 20; count += 1) {
      const answer = await cancel(key);
      if (answer.status === 200) return answer;
      expect(answer.json.code).toBe('idempotency_in_progress');
    }
    throw new Error('The cancel never came between two attempts');
  }

  async function untilCancelWaits(): Promise<void> {
    for (let waiting = 0; waiting === 0; ) {
      const { rows } = await system.owner.query(
        `SELECT count(*)::int AS waiting FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.locktype = 'transactionid' AND NOT l.granted AND a.datname = current_database()`,
      );
      waiting = rows[0].waiting;
    }
  }
});

describe('who may cancel', () => {
  test('a key not seen yet: owner, admin, accountant', async () => {
    for (const role of ['owner', 'admin', 'accountant'] as const) {
      expect((await cancel(`unseen-${role}`, company.as(role))).status).toBe(200);
    }
    for (const role of ['manager', 'auditor', 'inventory_manager', 'employee', 'customer', 'user'] as const) {
      const refused = await cancel(`unseen-${role}`, company.as(role));
      expect(refused).toMatchObject({ status: 403, json: { code: 'forbidden' } });
      expect((await company.api.get(`/api/writes/unseen-${role}`)).status).toBe(404);
    }
  });

  test('a running write: its actor, and a role that its operation allows', async () => {
    const release = await hold(system.owner);
    await pay('held', company.as('accountant'), { prefer: 'respond-async' });
    await untilHeld(system.owner);
    for (const role of ['manager', 'auditor', 'employee'] as const) {
      expect((await cancel('held', company.as(role))).json.code).toBe('forbidden');
    }
    const cancelling = cancel('held', company.as('accountant'));
    await release();
    // Allowed; which of the two is first, the row decides.
    expect(['cancelled', 'too_late']).toContain((await cancelling).json.state ?? (await cancelling).json.code);
  });

  test('a key with an outcome tells nothing to those who may not read it', async () => {
    await pay('secret');
    const known = await cancel('secret', company.as('employee'));
    const unknown = await cancel('no-secret', company.as('employee'));
    expect([known.status, known.json.code, known.json.detail]).toEqual([403, 'forbidden', unknown.json.detail]);
    expect((await cancel('secret', company.as('manager'))).json.code).toBe('too_late');
  });
});

describe('the request of a cancel', () => {
  test('has no body, or an empty one', async () => {
    const send = (body: string) =>
      company.api.send('POST', '/api/writes/with-body/cancel', {
        body,
        headers: { 'content-type': 'application/json' },
      });
    for (const body of ['[]', 'null', '{"force":true}', '1']) {
      expect(await send(body)).toMatchObject({ status: 422, json: { code: 'validation_failed' } });
    }
    expect((await send('')).status).toBe(200);
    expect((await send('{}')).status).toBe(200);
  });

  test('counts against the limit of new writes', async () => {
    const environment = { RATE_LIMIT_PER_SECOND: '1', RATE_LIMIT_BURST: '1' };
    const { url } = await system.another({ environment });
    const api = company.as('owner', url);
    expect((await cancel('limited-1', api)).status).toBe(200);
    expect(await cancel('limited-2', api)).toMatchObject({ status: 429, json: { code: 'rate_limited' } });
    expect((await company.api.get('/api/writes/limited-2')).status).toBe(404);
  });

  test('is counted as a failure of an unknown operation', async () => {
    const { url } = await system.another();
    const count = async () => {
      const page = await (await fetch(`${url}/metrics`)).text();
      return ['idempotent_writes_failed_total', 'idempotent_writes_total'].map((name) => {
        const line = page.split('\n').find((text) => text.startsWith(`${name}{operation="unknown",type="unknown"`));
        return line?.split('} ')[1];
      });
    };
    await cancel('counted', company.as('owner', url));
    await cancel('counted', company.as('owner', url));
    expect(await count()).toEqual(['1', '1']);
  });

  test('counts its replays as of an unknown operation too, in the audit log as in the metrics', async () => {
    await cancel('replayed');
    await pay('replayed');
    const { rows } = await system.owner.query(
      `SELECT status, operation_name, operation_type, deterministic_id FROM idempotent_write_audit_log
       WHERE company_id = $1 AND idempotency_key = 'replayed' ORDER BY id`,
      [company.id],
    );
    const unknown = { operation_name: 'unknown', operation_type: 'unknown', deterministic_id: null };
    expect(rows).toEqual([
      { status: 'failed', ...unknown },
      { status: 'replayed', ...unknown },
    ]);
  });
});
