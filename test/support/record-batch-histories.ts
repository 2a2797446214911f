/**
 * Part of `npm run histories:record`: the workflow of a batch, in every way that a run of it can go. What record-histories.ts says
 * of files that are there holds here too.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { batchIdOf, batchWorkflowId } from '../../activities/batches/identity.ts';
import { BATCH_WORKFLOW_TYPE, batchTaskQueue } from '../../workflows/batch-messages.ts';
import { batchClient, ndjson, startBatchWorker } from './batches.ts';
import type { Company } from './companies.ts';
import { paymentBody } from './effects.ts';
import { holdInvoice, until } from './held-invoice.ts';
import { saveHistory } from './histories.ts';
import { type System, startSystem } from './system.ts';

/** Of the workflow's history, not of the product. */
const VERSION = 'v1';
/** Three chunks, each of which waits for the one before it: all name one invoice. */
const ROWS = 1_200;

let system: System;
let worker: Awaited<ReturnType<typeof startBatchWorker>>;
let company: Company;
let api: ReturnType<typeof batchClient>;
beforeAll(async () => {
  system = await startSystem({ environment: { PAYLOAD_ENCRYPTION: 'accept' } });
  worker = await startBatchWorker(system);
  company = await system.company();
  api = batchClient(system, company);
});
afterAll(async () => {
  await worker.close();
  await system.stop();
});

async function send(key: string): Promise<string> {
  const invoiceId = await company.invoice({ total: 10_000_000 });
  const file = ndjson(Array.from({ length: ROWS }, (_, index) => ({ body: paymentBody(invoiceId, 1 + index) })));
  const held = await holdInvoice(system.owner, invoiceId);
  expect((await api.send(file, { key, operation: 'createPayment' })).status).toBe(202);
  await held.release();
  return invoiceId;
}

const record = (way: string, key: string) =>
  saveHistory(system.temporal, `batch-${VERSION}-${way}`, batchWorkflowId(company.id, key));

test('completed', async () => {
  await send('completed');
  expect((await api.over('completed')).json.counts.succeeded).toBe(ROWS);
  expect(await record('completed', 'completed')).toBe('COMPLETED');
});

test('paused, and resumed', async () => {
  await send('paused');
  await api.control('paused', 'pause');
  const handle = system.temporal.workflow.getHandle(batchWorkflowId(company.id, 'paused'));
  await until('the workflow to wait', async () => {
    const { events } = await handle.fetchHistory();
    return events?.some(({ timerStartedEventAttributes: timer }) => timer != null) === true;
  });
  await api.control('paused', 'resume');
  expect((await api.over('paused')).json.counts.succeeded).toBe(ROWS);
  expect(await record('paused', 'paused')).toBe('COMPLETED');
});

test('cancelled', async () => {
  await send('cancelled');
  await api.control('cancelled', 'cancel');
  expect((await api.over('cancelled')).json.state).toBe('cancelled');
  expect(await record('cancelled', 'cancelled')).toBe('COMPLETED');
});

test('waited for another one', async () => {
  const invoiceId = await company.invoice({ total: 10_000_000 });
  const held = await holdInvoice(system.owner, invoiceId);
  await api.send(ndjson([{ body: paymentBody(invoiceId) }]), { key: 'before', operation: 'createPayment' });
  await until('the batch before', async () => (await api.status('before')).json.state === 'running');
  await send('waited');
  const handle = system.temporal.workflow.getHandle(batchWorkflowId(company.id, 'waited'));
  await until('the workflow to wait', async () => {
    const { events } = await handle.fetchHistory();
    return events?.some(({ timerStartedEventAttributes: timer }) => timer != null) === true;
  });
  await held.release();
  expect((await api.over('waited')).json.counts.succeeded).toBe(ROWS);
  expect(await record('waited', 'waited')).toBe('COMPLETED');
});

test('gone from the database', async () => {
  const taskQueue = batchTaskQueue(system.environment['TEMPORAL_TASK_QUEUE'] as string);
  await system.temporal.workflow.start(BATCH_WORKFLOW_TYPE, {
    workflowId: batchWorkflowId(company.id, 'gone'),
    taskQueue,
    args: [{ companyId: company.id, batchId: batchIdOf(company.id, 'gone'), chunksAtOnce: 2 }],
  });
  expect(await record('gone', 'gone')).toBe('COMPLETED');
});
