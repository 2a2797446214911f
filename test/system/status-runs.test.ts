import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TransientFailure } from '../../activities/failures.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { heldOperation, hold, untilHeld } from '../support/held-operation.ts';
import { startProxy, targetOf } from '../support/proxy.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
let invoiceId: string;
/** While it is set, payments fail by a bug, or by what another attempt may mend. */
let broken: 'by a bug' | 'for a while' | undefined;

beforeAll(async () => {
  system = await startSystem({
    operations: OPERATIONS.map((operation) => (operation.name === 'createPayment' ? breakable(operation) : operation)),
  });
  company = await system.company();
  invoiceId = await company.invoice();
});
afterAll(() => system.stop());

function breakable(operation: Operation): Operation {
  const held = heldOperation(operation);
  return {
    ...held,
    write(tx, input, context) {
      if (broken === 'by a bug') throw new Error('A bug of the test');
      if (broken === 'for a while') throw new TransientFailure('Of the test', { mayHaveCommitted: false });
      return held.write(tx, input, context);
    },
  };
}

const pay = (key: string, headers = {}) =>
  company.api.post('/api/payments', paymentBody(invoiceId, 1), { key, headers: { 'x-request-id': key, ...headers } });
const statusOf = (key: string) => company.api.get(`/api/writes/${key}`);
const runOf = (key: string) => system.temporal.workflow.getHandle(workflowIdOf(company.id, key));
const kinds = (write: { timeline: { kind: string }[] }) => write.timeline.map(({ kind }) => kind);

async function failedPayment(key: string): Promise<void> {
  broken = 'by a bug';
  const answer = await pay(key);
  broken = undefined;
  expect(answer.json.code).toBe('write_failed');
}

describe('a run that failed', () => {
  test('is told as failed, and after its cure as the success that it came to', async () => {
    await failedPayment('cured');
    const failed = (await statusOf('cured')).json;
    expect(failed).toMatchObject({
      ...{ key: 'cured', operation: 'createPayment', type: 'financial', state: 'failed' },
      ...{ status: null, response: null, resource: null, completedAt: null, requestId: 'cured' },
      actor: { userId: company.users.owner.id },
      workflow: { id: workflowIdOf(company.id, 'cured') },
    });
    expect(kinds(failed)).toEqual(['requested', 'started', 'run_failed']);

    expect((await pay('cured')).status).toBe(201);
    const cured = (await statusOf('cured')).json;
    expect(cured).toMatchObject({ state: 'succeeded', writeId: failed.writeId });
    expect(kinds(cured)).toEqual(['run_failed', 'requested', 'started', 'completed', 'event_recorded']);
  });

  test('is told from the audit log when Temporal has forgotten it', async () => {
    await failedPayment('remembered');
    // What the log holds of a key of which Temporal holds nothing.
    await system.owner.query(
      `INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, deterministic_id,
         idempotency_key, user_id, status, error_code, request_id, route_path, http_method)
       SELECT company_id, operation_name, operation_type, deterministic_id, 'forgotten', user_id, status, error_code,
         'forgotten', route_path, http_method
       FROM idempotent_write_audit_log WHERE idempotency_key = 'remembered'`,
    );
    const write = (await statusOf('forgotten')).json;
    expect(write).toMatchObject({
      ...{ key: 'forgotten', operation: 'createPayment', type: 'financial', state: 'failed', workflow: null },
      actor: { userId: company.users.owner.id },
      requestId: 'forgotten',
    });
    expect(kinds(write)).toEqual(['run_failed']);
    expect((await company.as('employee').get('/api/writes/forgotten')).status).toBe(404);
    const other = await system.company();
    expect((await other.api.get('/api/writes/forgotten')).status).toBe(404);
  });

  test('can be cancelled, so that it is never made', async () => {
    await failedPayment('given-up');
    expect((await company.as('manager').send('POST', '/api/writes/given-up/cancel')).status).toBe(403);
    expect((await company.as('accountant').send('POST', '/api/writes/given-up/cancel')).status).toBe(200);
    expect((await pay('given-up')).json.code).toBe('write_cancelled');
    expect(kinds((await statusOf('given-up')).json)).toEqual(['run_failed', 'cancelled', 'replayed']);
  });
});

describe('a run whose attempts fail', () => {
  test('tells how many there were so far, and at its end', async () => {
    broken = 'for a while';
    await pay('tried', { prefer: 'respond-async' });
    // Temporal knows of those whose backoff is a timer. Six seconds are between the seventh and the eighth.
    await until('the attempts to be told', async () => (await statusOf('tried')).json.attempts > 7);
    const running = (await statusOf('tried')).json;
    expect(running).toMatchObject({ state: 'running', attempts: 8 });
    expect(running.timeline.at(-1)).toMatchObject({
      kind: 'attempt_failed',
      detail: '7 attempts failed and were rolled back',
    });
    broken = undefined;
    const answer = await company.api.get('/api/writes/tried', { prefer: 'wait=60' });
    expect(answer.json).toMatchObject({ state: 'succeeded', attempts: 8 });
    expect(kinds(answer.json)).toEqual(['requested', 'started', 'attempt_failed', 'completed', 'event_recorded']);
  });
});

describe('a run that was ended from outside', () => {
  test('is told as unknown and never as failed, until its transaction has decided', async () => {
    const release = await hold(system.owner);
    await pay('ended', { prefer: 'respond-async' });
    await untilHeld(system.owner);
    await runOf('ended').terminate('by a test');
    const write = (await statusOf('ended')).json;
    expect(write).toMatchObject({ state: 'unknown', status: null, completedAt: null, requestId: 'ended' });
    expect(write.timeline.at(-1)).toMatchObject({ kind: 'run_failed', detail: expect.stringContaining('proof') });

    await release();
    await until('the transaction to commit', async () => (await statusOf('ended')).json.state === 'succeeded');
    expect(kinds((await statusOf('ended')).json)).toEqual(['requested', 'started', 'completed', 'event_recorded']);
  });
});

describe('Temporal’s word and the row', () => {
  test('a write whose row is there is told with Temporal away; one that only Temporal could know is 503', async () => {
    const proxy = await startProxy(targetOf(system.environment['TEMPORAL_ADDRESS'] ?? ''));
    const { url } = await system.another({ environment: { TEMPORAL_ADDRESS: proxy.address } });
    await pay('known');
    const [owner, accountant] = [company.as('owner', url), company.as('accountant', url)];
    for (const takeAway of [proxy.freeze, proxy.cut]) {
      takeAway();
      expect((await owner.get('/api/writes/known')).json.state).toBe('succeeded');
      expect((await owner.get('/api/writes?limit=1')).status).toBe(200);
      const started = performance.now();
      const unknown = await owner.get('/api/writes/not-known');
      expect(unknown).toMatchObject({ status: 503, json: { code: 'orchestrator_unavailable', retryable: true } });
      expect(unknown.headers.get('retry-after')).toBe('1');
      expect(performance.now() - started).toBeLessThan(60_000);

      // Whose roles allow it whatever runs need not ask Temporal.
      const key = `cancelled-${takeAway.name}`;
      const refused = await accountant.send('POST', `/api/writes/${key}/cancel`);
      expect(refused).toMatchObject({ status: 503, json: { code: 'orchestrator_unavailable' } });
      expect((await owner.send('POST', `/api/writes/${key}/cancel`)).status).toBe(200);
      expect((await accountant.send('POST', `/api/writes/${key}/cancel`)).status).toBe(200);
    }
    proxy.open();
    await until('Temporal to be back', async () => (await owner.get('/api/writes/not-known')).status === 404);
    await proxy.close();
  });

  test('a completed run whose row is gone is told as unknown, and counted', async () => {
    const { url } = await system.another();
    await pay('restored');
    await loseRow('restored');
    const write = (await company.as('owner', url).get('/api/writes/restored')).json;
    expect(write).toMatchObject({ state: 'unknown', status: null, response: null });
    const page = await (await fetch(`${url}/metrics`)).text();
    expect(page).toMatch(/^write_record_missing_total 1$/m);
  });

  /** As a database that was restored to an earlier time. */
  async function loseRow(key: string): Promise<void> {
    const client = await system.owner.connect();
    try {
      const tables = ['idempotent_writes', 'outbox', 'payments', 'journal_entries', 'journal_lines'];
      await client.query('BEGIN');
      for (const table of tables) await client.query(`ALTER TABLE ${table} DISABLE TRIGGER USER`);
      const write = 'SELECT write_id FROM idempotent_writes WHERE idempotency_key = $1';
      const entry = `SELECT id FROM journal_entries WHERE write_id IN (${write})`;
      await client.query(`DELETE FROM outbox WHERE write_id IN (${write})`, [key]);
      await client.query(`DELETE FROM payments WHERE id IN (${write})`, [key]);
      await client.query(`DELETE FROM journal_lines WHERE entry_id IN (${entry})`, [key]);
      await client.query(`DELETE FROM journal_entries WHERE write_id IN (${write})`, [key]);
      await client.query('DELETE FROM idempotent_writes WHERE idempotency_key = $1', [key]);
      for (const table of tables) await client.query(`ALTER TABLE ${table} ENABLE TRIGGER USER`);
      await client.query('COMMIT');
    } finally {
      client.release();
    }
  }
});
