/**
 * `npm run histories:record` records one history of the write workflow for each way that a run can go, into
 * `test/histories/`; record-event-histories.ts does the same for the others. `test/slow/replay-history.test.ts` replays all.
 *
 * Histories of a release are for ever: runs of it may be open when the next one comes. So files that are there are kept.
 * When the workflow changes (with `patched`, since the old ones must still replay), raise VERSION, run this, and commit the
 * new files beside the old. It is a test file of its own configuration, since it needs the running system of the tests.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TransientFailure } from '../../activities/failures.ts';
import { fingerprint, workflowIdOf } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createWriteRuns } from '../../api/submit/write-runs.ts';
import { decide, setPolicies } from './approvals.ts';
import type { Company } from './companies.ts';
import { until } from './held-invoice.ts';
import { saveHistory } from './histories.ts';
import { oneByOne } from './one-by-one.ts';
import { type System, startSystem } from './system.ts';

/** Of the workflow's history, not of the product. */
const VERSION = 'v1';

/** Fails so many attempts that the backoff (100 ms, doubled each time) has outgrown the local retry threshold of 5 s. */
const ATTEMPTS_UNTIL_TIMER = 8;

/** What the operation does with a customer of that name (which is the key too), before it does its work. */
const BEFORE_WORK: Readonly<Record<string, (attempt: number) => void>> = {
  'fails-by-a-bug': () => {
    throw new Error('Planted');
  },
  'succeeds-at-the-third-attempt': (attempt) => failUntil(attempt, 3),
  'succeeds-after-a-durable-timer': (attempt) => failUntil(attempt, ATTEMPTS_UNTIL_TIMER),
  'is-cancelled-by-its-key-meanwhile': (attempt) => failUntil(attempt, 2),
};

function failUntil(attempt: number, succeeding: number): void {
  if (attempt < succeeding) throw new TransientFailure('Planted', { mayHaveCommitted: false });
}

let system: System;
let company: Company;
const attempts = new Map<string, number>();
beforeAll(async () => {
  const operations = OPERATIONS.map((operation) => ({
    ...oneByOne(operation),
    write: (...[tx, input, context]: Parameters<typeof operation.write>) => {
      const name = String(input.body['name']);
      attempts.set(name, (attempts.get(name) ?? 0) + 1);
      BEFORE_WORK[name]?.(attempts.get(name) as number);
      return operation.write(tx, input, context);
    },
  }));
  system = await startSystem({ operations, environment: { PAYLOAD_ENCRYPTION: 'accept' } });
  company = await system.company();
});
afterAll(() => system.stop());

const create = (name: string, more: object = {}, wait = 60) =>
  company.api.post('/api/customers', { name, ...more }, { key: name, headers: { prefer: `wait=${wait}` } });

test('success', async () => {
  expect((await create('succeeds')).status).toBe(201);
  await record('success', 'succeeds');
});

test('rejection', async () => {
  await create('has-the-reference', { externalReference: 'R1' });
  expect((await create('is-rejected', { externalReference: 'R1' })).status).toBe(409);
  await record('rejection', 'is-rejected');
});

test('retries within a workflow task', async () => {
  expect((await create('succeeds-at-the-third-attempt')).status).toBe(201);
  await record('retries', 'succeeds-at-the-third-attempt');
});

test('retries with a durable timer', async () => {
  expect((await create('succeeds-after-a-durable-timer')).status).toBe(201);
  await record('durable-timer', 'succeeds-after-a-durable-timer');
});

test('failed run', async () => {
  expect((await create('fails-by-a-bug')).status).toBe(500);
  await record('failed-run', 'fails-by-a-bug');
});

test('cancelled key', async () => {
  const name = 'is-cancelled-by-its-key-meanwhile';
  const creating = create(name);
  await until('the first attempt', async () => attempts.get(name) === 1);
  await company.api.send('POST', `/api/writes/${name}/cancel`);
  expect((await creating).json.code).toBe('write_cancelled');
  await record('cancelled-key', name);
});

test('mismatch', async () => {
  const name = 'is-met-by-another-body';
  expect((await create(name)).status).toBe(201);
  const runs = createWriteRuns(system.temporal, { taskQueue: system.environment['TEMPORAL_TASK_QUEUE'] as string });
  const first = await closedRun(name);
  const args = await runs.readArguments(company.id, name, first);
  if (args === undefined) throw new Error('The run has no arguments');
  // Once Temporal has forgotten the first run, another body gets as far as the row.
  await system.temporal.workflowService.deleteWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId: workflowIdOf(company.id, name) },
  });
  await until('Temporal to forget', async () => (await runs.describe(company.id, name)) === undefined);
  const input = { ...args.input, body: { ...args.input.body, currency: 'EUR' } };
  const submissionId = randomUUID();
  await runs.start({ ...args, input, submissionId, fingerprint: fingerprint(args.operation, input) }, 'recorded');
  await record('mismatch', name);
});

/** Of runs that wait for an approval, which the first version knows nothing of. */
describe('under a policy', () => {
  const WAITING = 'v2';
  beforeAll(() => setPolicies(company, [{ operation: 'createCustomer', approverRoles: ['admin', 'owner'], count: 2 }]));

  const askedFor = async (name: string) => {
    const asked = await company.as('accountant').post('/api/customers', { name }, { key: name });
    expect(asked.json.state).toBe('pending_approval');
  };

  test('approved by two', async () => {
    await askedFor('is-approved');
    await decide(company, 'is-approved', 'approve', 'admin');
    expect((await decide(company, 'is-approved', 'approve', 'owner')).json.state).toBe('succeeded');
    await record('approved', 'is-approved', WAITING);
  });

  test('rejected', async () => {
    await askedFor('is-not-approved');
    expect((await decide(company, 'is-not-approved', 'reject')).json.state).toBe('rejected');
    await record('not-approved', 'is-not-approved', WAITING);
  });

  test('cancelled', async () => {
    await askedFor('is-cancelled-while-it-waits');
    const cancelled = await company.api.send('POST', '/api/writes/is-cancelled-while-it-waits/cancel');
    expect(cancelled.json.state).toBe('cancelled');
    await record('cancelled-while-it-waits', 'is-cancelled-while-it-waits', WAITING);
  });
});

/** Waits for the newest run of the key to close; answers its ID. */
async function closedRun(key: string): Promise<string> {
  const handle = system.temporal.workflow.getHandle(workflowIdOf(company.id, key));
  await handle.result().catch(() => undefined);
  return (await handle.describe()).runId;
}

async function record(name: string, key: string, version = VERSION): Promise<void> {
  const runId = await closedRun(key);
  await saveHistory(system.temporal, `write-${version}-${name}`, workflowIdOf(company.id, key), runId);
}
