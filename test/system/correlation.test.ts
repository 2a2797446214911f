import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { workflowIdOf, writeId } from '../../activities/identity.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { WRITE_WORKFLOW_TYPE } from '../../workflows/messages.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { type SystemProcess, startApiProcess, startWorkerProcess } from '../support/processes.ts';
import { startReceiver } from '../support/receiver.ts';
import { keyWorkflow } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';
import { writeArguments } from '../support/write-arguments.ts';

let system: System;
let company: Company;
let api: SystemProcess;
let worker: SystemProcess;
let receiver: Awaited<ReturnType<typeof startReceiver>>;
beforeAll(async () => {
  system = await startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1' } });
  company = await system.company();
  // A queue of their own: the API in this process is quick to take what comes on its own.
  const queue = `${system.environment['TEMPORAL_TASK_QUEUE']}_logs`;
  const of = (name: string) => ({ ...system.environment, TEMPORAL_TASK_QUEUE: name });
  [api, worker, receiver] = await Promise.all([
    startApiProcess(of(queue)),
    startWorkerProcess(of(`${queue}_worker`)),
    startReceiver(),
  ]);
  const settings = { expectedVersion: 1, webhookUrl: receiver.url };
  await company.api.created('/api/company/settings', settings, { method: 'PATCH' });
});
afterAll(async () => {
  await Promise.all([api.kill(), worker.kill(), receiver.close()]);
  await system.stop();
});

/** The lines of that request, as soon as there are so many: a process's output comes a moment later than its answer. */
async function linesWith(process: SystemProcess, requestId: string, count = 1) {
  const lines = () => process.logs.filter((line) => line['requestId'] === requestId);
  await until(`${count} lines of ${requestId}`, async () => lines().length >= count);
  return lines();
}

describe('one X-Request-Id is found everywhere', () => {
  test('of a write: in the answer, the memo, the row, the audit log, the event, the webhook, and both logs', async () => {
    const [requestId, key] = [`from-the-client-${randomUUID()}`, randomUUID()];
    const id = writeId(company.id, 'createCustomer', key);
    const headers = { 'x-request-id': requestId };
    const answer = await company.as('owner', api.url).post('/api/customers', { name: 'Traced' }, { key, headers });
    expect(answer.headers.get('x-request-id')).toBe(requestId);

    const { memo } = await keyWorkflow(system.temporal, company, key).describe();
    expect(memo).toMatchObject({ requestId });
    const { rows } = await system.owner.query(
      `SELECT w.request_id AS write, a.request_id AS audit, o.payload ->> 'requestId' AS event
       FROM idempotent_writes w JOIN idempotent_write_audit_log a ON a.deterministic_id = w.write_id
       JOIN outbox o ON o.write_id = w.write_id WHERE w.write_id = $1`,
      [id],
    );
    expect(rows).toEqual([{ write: requestId, audit: requestId, event: requestId }]);

    await until('the webhook', async () => receiver.calls.some(({ json }) => json.data.requestId === requestId));
    const workflowId = workflowIdOf(company.id, key);
    expect(await linesWith(api, requestId, 2)).toMatchObject([
      {
        process: 'api',
        msg: 'committed',
        writeId: id,
        workflowId,
        operation: 'createCustomer',
        key,
        outcome: 'succeeded',
      },
      {
        ...{ process: 'api', msg: 'answered', writeId: id, key, status: 201 },
        ...{ companyId: company.id, userId: company.users.owner.id, ip: '127.0.0.1' },
      },
    ]);
    expect(await linesWith(worker, requestId)).toMatchObject([
      { process: 'worker', msg: 'Webhook called', writeId: id, outcome: 'delivered' },
    ]);
  });

  test('of a write that a worker makes for a process that is gone', async () => {
    const key = randomUUID();
    const args = writeArguments(company, createCustomer, { name: 'Left behind' }, key);
    const workflowId = workflowIdOf(company.id, key);
    await system.temporal.workflow.execute(WRITE_WORKFLOW_TYPE, {
      taskQueue: `${system.environment['TEMPORAL_TASK_QUEUE']}_logs_worker`,
      workflowId,
      args: [args],
    });
    const id = writeId(company.id, 'createCustomer', key);
    expect(await linesWith(worker, args.request.id)).toMatchObject([{ msg: 'committed', writeId: id, workflowId }]);
  });

  test('of a replay: its own, and not that of the first request', async () => {
    const key = randomUUID();
    const client = company.as('owner', api.url);
    const send = (requestId: string) =>
      client.post('/api/customers', { name: 'Twice' }, { key, headers: { 'x-request-id': requestId } });
    await send('the-first');
    const replay = await send('the-second');
    expect([replay.replayed, replay.headers.get('x-request-id')]).toEqual([true, 'the-second']);
    const { rows } = await system.owner.query(
      'SELECT status, request_id FROM idempotent_write_audit_log WHERE company_id = $1 AND idempotency_key = $2 ORDER BY id',
      [company.id, key],
    );
    expect(rows).toEqual([
      { status: 'new', request_id: 'the-first' },
      { status: 'replayed', request_id: 'the-second' },
    ]);
    const id = writeId(company.id, 'createCustomer', key);
    expect(await linesWith(api, 'the-second')).toMatchObject([{ msg: 'answered', writeId: id, status: 201 }]);
  });

  test('of a request that is no write, and of one that fails: one line each, by its ID', async () => {
    const client = company.as('owner', api.url);
    await client.get('/api/me', { 'x-request-id': 'a-read' });
    await client.post('/api/customers', {}, { headers: { 'x-request-id': 'invalid' } });
    expect(await linesWith(api, 'a-read')).toMatchObject([{ msg: 'answered', status: 200 }]);
    expect(await linesWith(api, 'invalid')).toMatchObject([{ msg: 'answered', status: 422 }]);
  });
});
