import { randomBytes, randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Client } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { bundleWorkflowCode, DefaultLogger, type NativeConnection, Worker } from '@temporalio/worker';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { openPool } from '../../activities/database.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { createWriteRuns } from '../../api/submit/write-runs.ts';
import { loadWorkflowBundle } from '../../worker/bundle.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { createWorker } from '../../worker/create-worker.ts';
import { startMaintenance } from '../../worker/maintenance.ts';
import { maintenanceScheduleId } from '../../worker/maintenance-schedule.ts';
import { FAILURE_CONVERTER } from '../../worker/payloads/data-converter.ts';
import { missingKeyRuns } from '../../worker/verification/key-runs.ts';
import { createNamedRuns } from '../../worker/verification/named-runs.ts';
import { webhooksWorkflowId } from '../../workflows/event-messages.ts';
import { type GroupItem, memoOf, type WriteArguments } from '../../workflows/messages.ts';
import { writeSearchAttributes } from '../../workflows/search-attributes.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { rawHistory } from '../support/raw-temporal.ts';
import { startRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';
import { writeArguments } from '../support/write-arguments.ts';

const QUIET = new DefaultLogger('ERROR');
const FOREIGN = fileURLToPath(new URL('../support/foreign-workflows.ts', import.meta.url));

/** Whoever reaches Temporal, and has none of our keys. */
let attacker: Client;
let system: System;
let relay: Awaited<ReturnType<typeof startRelay>>;
let taskQueue: string;

beforeAll(async () => {
  system = await startSystem();
  relay = await startRelay(system);
  taskQueue = readWorkerConfig(system.environment).TEMPORAL_TASK_QUEUE;
  attacker = new Client({ connection: system.temporal.connection });
});
afterAll(async () => {
  await relay.close();
  await system.stop();
});

/** What the attacker has seen of the API: the arguments of a payment are right in every member. */
async function rightArguments(company: Company, key: string = randomUUID()): Promise<WriteArguments> {
  const body = paymentBody(await company.invoice({ total: 1_000_000 }), 999_999);
  return writeArguments(company, createPayment, body, key);
}

/** A worker of the attacker's own. */
async function foreignWorker(queue: string): Promise<Worker> {
  return Worker.create({
    connection: system.temporal.connection as NativeConnection,
    taskQueue: queue,
    workflowBundle: await bundleWorkflowCode({ workflowsPath: FOREIGN, logger: QUIET }),
  });
}

async function leavesNothing(company: Company, key: string): Promise<void> {
  const effects = await countEffects(system.owner, { companyId: company.id, table: 'payments', key });
  expect(effects).toMatchObject({ writes: 0, rows: 0, entries: 0, newAudit: 0, events: 0 });
}

/** Starts it by that client, and says how it ended: the type of the innermost failure. */
async function endOf(client: Client, type: string, workflowId: string, argument: unknown, queue = taskQueue) {
  await client.workflow.start(type, { taskQueue: queue, workflowId, args: [argument] });
  return failureOf(workflowId);
}

async function failureOf(workflowId: string): Promise<string> {
  const result = system.temporal.workflow.getHandle(workflowId).result();
  let cause: unknown = await result.then(JSON.stringify, (error: unknown) => error);
  while (cause instanceof Error && cause.cause !== undefined) cause = cause.cause;
  return cause instanceof ApplicationFailure ? (cause.type ?? 'ApplicationFailure') : String(cause);
}

describe('a run that someone forges in Temporal', () => {
  test('with the right arguments, in plain text, ends failed and leaves nothing', async () => {
    const company = await system.company();
    const args = await rightArguments(company);
    const workflowId = workflowIdOf(company.id, args.key);
    expect(await endOf(attacker, 'write', workflowId, args)).toBe('RunRefused');
    await leavesNothing(company, args.key);
    // The key is not lost to its owner.
    const answer = await company.api.post('/api/payments', args.input.body, { key: args.key });
    expect(answer).toMatchObject({ status: 201, replayed: false });
  });

  test('with what another run was started with, copied from its history, ends failed and leaves nothing', async () => {
    const company = await system.company();
    const invoiceId = await company.invoice({ total: 1_000_000 });
    const key = randomUUID();
    await company.api.created('/api/payments', paymentBody(invoiceId, 700), { key });
    const { events } = await rawHistory(system.temporal, workflowIdOf(company.id, key));
    const stolen = events[0]?.workflowExecutionStartedEventAttributes;
    expect(stolen?.input?.payloads).toHaveLength(1);
    const workflowId = workflowIdOf(company.id, 'another');
    const { runId } = await attacker.workflowService.startWorkflowExecution({
      namespace: 'default',
      requestId: randomUUID(),
      workflowId,
      workflowType: { name: 'write' },
      taskQueue: { name: taskQueue },
      input: stolen?.input ?? null,
      memo: stolen?.memo ?? null,
    });
    expect(runId).toBeDefined();
    expect(await failureOf(workflowId)).toBe('RunRefused');
    await leavesNothing(company, 'another');
    const effects = await countEffects(system.owner, { companyId: company.id, table: 'payments', key });
    expect(effects).toMatchObject({ writes: 1, rows: 1 });
  });

  // Defence in depth: by our own client, as if someone could encrypt.
  test('under another workflow ID than that of its company and key ends failed and leaves nothing', async () => {
    const company = await system.company();
    const args = await rightArguments(company);
    const workflowId = workflowIdOf(company.id, 'not-its-key');
    expect(await endOf(system.temporal, 'write', workflowId, args)).toBe('RunRefused');
    await leavesNothing(company, args.key);
  });

  test('with a body that is not that of its fingerprint ends failed and leaves nothing', async () => {
    const company = await system.company();
    const args = await rightArguments(company);
    const more = { ...args, input: { ...args.input, body: { ...args.input.body, amount: 1_000_000 } } };
    const workflowId = workflowIdOf(company.id, args.key);
    expect(await endOf(system.temporal, 'write', workflowId, more)).toBe('RunRefused');
    await leavesNothing(company, args.key);
  });

  test('as a group, in plain text or with an item of another key, ends failed, and no item goes on alone', async () => {
    const company = await system.company();
    const args = await rightArguments(company);
    const item: GroupItem = { args, workflowId: workflowIdOf(company.id, args.key), summary: 'forged' };
    const workflowId = () => `group:${randomUUID()}:0:1`;
    expect(await endOf(attacker, 'writeGroup', workflowId(), [item])).toBe('RunRefused');
    const moved = { ...item, workflowId: workflowIdOf(company.id, 'another') };
    expect(await endOf(system.temporal, 'writeGroup', workflowId(), [moved])).toBe('RunRefused');
    const changed = { ...item, args: { ...args, actor: { userId: randomUUID() }, input: { params: {}, body: {} } } };
    expect(await endOf(system.temporal, 'writeGroup', workflowId(), [changed])).toBe('RunRefused');
    await leavesNothing(company, args.key);
    expect(await system.temporal.workflow.count(`WorkflowType = 'write' AND CompanyId = '${company.id}'`)).toEqual({
      count: 0,
      groups: [],
    });
  });

  test.each([0, 0.5, -1, '25'])('as a chunk with sets of %s items ends failed and leaves nothing', async (setSize) => {
    const company = await system.company();
    const args = await rightArguments(company);
    const item: GroupItem = { args, workflowId: workflowIdOf(company.id, args.key), summary: 'forged' };
    const workflowId = `group:${randomUUID()}:0:1`;
    const argumentsOfChunk = [[item], { version: randomUUID(), incarnation: 'forged' }, { setSize }];
    await system.temporal.workflow.start('writeGroup', { taskQueue, workflowId, args: argumentsOfChunk });
    expect(await failureOf(workflowId)).toBe('RunRefused');
    await leavesNothing(company, args.key);
  });

  test.each([
    ['webhooks', (id: string) => ({ companyId: id, batchId: id, retry: { delaysMs: [], giveUpAfterMs: 0 } })],
    ['sendInvoiceReminders', (id: string) => ({ companyId: id, triggerId: randomUUID(), writeTaskQueue: 'q' })],
    ['closeMonth', (id: string) => ({ companyId: id, triggerId: randomUUID(), writeTaskQueue: 'q' })],
  ])('as %s, in plain text, ends failed', async (type, argument) => {
    const company = await system.company();
    const workflowId = type === 'webhooks' ? webhooksWorkflowId(company.id, company.id) : randomUUID();
    expect(await endOf(attacker, type, workflowId, argument(company.id), `${taskQueue}-events`)).toBe('RunRefused');
  });

  test('as maintenance of the audit log, with or without an order, ends failed; that of the schedule does not', async () => {
    const config = readWorkerConfig(system.environment);
    const { connection } = system.temporal;
    const logger = pino({ level: 'silent' });
    const shared = {
      config,
      connection: connection as NativeConnection,
      metrics: { temporalRefused: { inc() {} } },
      logger,
    };
    const maintenance = await startMaintenance({ ...shared, workflowBundle: await loadWorkflowBundle(config) });
    const schedule = maintenanceScheduleId(taskQueue);
    const handle = system.temporal.schedule.getHandle(schedule);
    try {
      const queue = `${taskQueue}-maintenance`;
      for (const [end, args] of [
        ['none', []],
        ['plain', [{ schedule }]],
      ] as const) {
        const workflowId = `${schedule}-${end}`;
        await attacker.workflow.start('auditMaintenance', { taskQueue: queue, workflowId, args });
        expect(await failureOf(workflowId)).toBe('RunRefused');
      }
      const theirs = `theirs-${randomUUID()}`;
      const worker = await foreignWorker(theirs);
      await worker.runUntil(async () => {
        const workflowId = `forged-${randomUUID()}`;
        const args = [queue, 'archiveMonth', '2026-01'];
        const forged = await attacker.workflow.start('schedule', { taskQueue: theirs, workflowId, args });
        let failure: string | null | undefined;
        await until('the activity to fail', async () => {
          const { events } = await rawHistory(system.temporal, workflowId);
          const failed = events.find((event) => event.activityTaskFailedEventAttributes != null);
          failure = failed?.activityTaskFailedEventAttributes?.failure?.applicationFailureInfo?.type;
          return failure !== undefined;
        });
        expect(failure).toBe('RunRefused');
        // Its own worker cannot even read why.
        await forged.terminate('forged');
      });
      await handle.trigger();
      await until('the run of the schedule', async () => (await handle.describe()).info.recentActions.length > 0);
      const [ran] = (await handle.describe()).info.recentActions;
      const workflowId = ran?.action.workflow.workflowId ?? '';
      expect(await system.temporal.workflow.getHandle(workflowId).result()).toMatchObject({ archived: [] });
    } finally {
      await maintenance.close();
      await handle.delete();
    }
  });

  test('at a key that a client then uses does not hold the client up, nor answer it', async () => {
    const company = await system.company();
    const args = await rightArguments(company);
    // Nobody polls this queue: it stays open.
    const forged = await attacker.workflow.start('write', {
      workflowId: workflowIdOf(company.id, args.key),
      taskQueue: `nobody-${randomUUID()}`,
      args: [args],
      memo: memoOf(args),
      typedSearchAttributes: writeSearchAttributes(company.id, args.operation, args.key),
    });
    const held = await company.api.post('/api/payments', args.input.body, {
      key: args.key,
      headers: { prefer: 'wait=1' },
    });
    expect(held.status).not.toBe(201);
    expect((await company.api.get(`/api/writes/${args.key}`)).status).toBeLessThan(500);
    await leavesNothing(company, args.key);
    await forged.terminate('forged');
    const answer = await company.api.post('/api/payments', args.input.body, { key: args.key });
    expect(answer).toMatchObject({ status: 201, replayed: false });
  });
});

describe('what someone has put into Temporal', () => {
  /** As of a key that nobody has configured, for the right workflow. */
  const underUnknownKey = (workflowId: string) => ({
    metadata: {
      encoding: Buffer.from('binary/encrypted'),
      'encryption-key-id': Buffer.from('unknown'),
      'encryption-context': Buffer.from(`default/${workflowId}`),
    },
    data: randomBytes(64),
  });
  const forge = async (type: string, workflowId: string, more: object, queue = `nobody-${randomUUID()}`) => {
    await attacker.workflowService.startWorkflowExecution({
      namespace: 'default',
      requestId: randomUUID(),
      workflowId,
      workflowType: { name: type },
      taskQueue: { name: queue },
      ...more,
    });
    return attacker.workflow.getHandle(workflowId);
  };

  test('at a client’s key, under a key that nobody has, is answered like any run that is not ours, and never 500', async () => {
    const company = await system.company();
    const args = await rightArguments(company);
    const workflowId = workflowIdOf(company.id, args.key);
    const memo = { fields: { fingerprint: underUnknownKey(workflowId) } };
    const forged = await forge('write', workflowId, { memo, input: { payloads: [underUnknownKey(workflowId)] } });
    const send = () =>
      company.api.post('/api/payments', args.input.body, { key: args.key, headers: { prefer: 'wait=1' } });
    for (const answer of [await send(), await company.api.get(`/api/writes/${args.key}`)]) {
      expect([answer.status, answer.json?.code]).not.toContain('internal_error');
      expect(answer.status).not.toBe(201);
      expect(answer.status === 500 ? answer.json.code : 'no fault').toBe('no fault');
    }
    await forged.terminate('forged');
    expect(await company.api.post('/api/payments', args.input.body, { key: args.key })).toMatchObject({ status: 201 });
  });

  test.each(['write', 'writeGroup', 'webhooks', 'closeMonth'])(
    'without any argument, as %s, ends failed at once',
    async (type) => {
      const isEvent = type === 'webhooks' || type === 'closeMonth';
      const workflowId = `forged-${randomUUID()}`;
      await forge(type, workflowId, {}, isEvent ? `${taskQueue}-events` : taskQueue);
      expect(await failureOf(workflowId)).toBe('RunRefused');
    },
  );

  test('as a completed run of a key is not told as a record that is missing', async () => {
    const company = await system.company();
    const args = await rightArguments(company);
    // By a worker of their own: it completes whatever it is given.
    const queue = `theirs-${randomUUID()}`;
    const worker = await foreignWorker(queue);
    await worker.runUntil(async () => {
      const workflowId = workflowIdOf(company.id, args.key);
      await (await forge('write', workflowId, {}, queue)).result();
    });
    const answer = await company.api.post('/api/payments', args.input.body, { key: args.key });
    expect(answer.json.code).toBe('outcome_unknown');
    await leavesNothing(company, args.key);
  });

  test('as the end of a run is believed only if it is sealed; a failure that leaves nothing only of the run itself', async () => {
    const config = readWorkerConfig(system.environment);
    const connection = system.temporal.connection as NativeConnection;
    const end = async (client: Client, worker: Worker, type: 'write' | 'fail', ...args: string[]) => {
      const { taskQueue: queue } = worker.options;
      const [companyId, key] = [randomUUID(), randomUUID()];
      const runs = createWriteRuns(system.temporal, { taskQueue: queue });
      return worker.runUntil(async () => {
        const workflowId = workflowIdOf(companyId, key);
        const started = await client.workflow.start(type, { taskQueue: queue, workflowId, args });
        return runs.waitUntilClosed(companyId, key, started.firstExecutionRunId);
      });
    };
    const ours = async () =>
      createWorker(
        { config, logger: pino({ level: 'silent' }), metrics: { temporalRefused: { inc() {} } } },
        {
          connection,
          taskQueue: `ours-${randomUUID()}`,
          workflowBundle: await bundleWorkflowCode({
            workflowsPath: FOREIGN,
            failureConverterPath: FAILURE_CONVERTER,
            logger: QUIET,
          }),
        },
      );
    const theirs = () => foreignWorker(`theirs-${randomUUID()}`);
    expect(await end(attacker, await theirs(), 'write', 'anything')).toEqual({ kind: 'unproven' });
    expect(await end(attacker, await theirs(), 'fail')).toEqual({ kind: 'unproven' });
    expect(await end(system.temporal, await ours(), 'fail', randomUUID())).toEqual({ kind: 'unproven' });
    expect(await end(system.temporal, await ours(), 'fail')).toEqual({ kind: 'rolledBack' });
  });

  test('with any search attributes does not end the comparison of runs with their rows', async () => {
    const company = await system.company();
    const queue = `${taskQueue}-listed`;
    const worker = await foreignWorker(queue);
    await worker.runUntil(async () => {
      for (const companyId of ['no-uuid', company.id]) {
        const workflowId = `forged-${randomUUID()}`;
        await attacker.workflow.start('write', {
          workflowId,
          taskQueue: queue,
          typedSearchAttributes: writeSearchAttributes(companyId, 'createPayment', 'forged'),
          memo: { fingerprint: 'forged' },
        });
        await attacker.workflow.getHandle(workflowId).result();
      }
    });
    const query = `TaskQueue = '${queue}' AND ExecutionStatus = 'Completed'`;
    await until('both to be listed', async () => (await attacker.workflow.count(query)).count === 2);
    const { rows } = await system.owner.query('SELECT incarnation() AS live');
    const pool = openPool({
      connectionString: system.environment['DATABASE_URL'] ?? '',
      max: 1,
      statementTimeoutMs: 10_000,
      applicationName: 'test',
    });
    onTestFinished(() => pool.close());
    const found = await missingKeyRuns({
      client: system.temporal,
      runs: createNamedRuns(system.temporal, { taskQueue: queue }),
      pool,
      taskQueue: queue,
      since: new Date().toISOString(),
      live: rows[0].live,
    });
    expect(found).toEqual({ listed: 0, missing: [], unreadable: [] });
  });
});
