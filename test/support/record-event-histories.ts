/**
 * Part of `npm run histories:record`: the workflows beside that of a write, each in every way that a run of it can go.
 * What record-histories.ts says of files that are there holds here too.
 */
import { ApplicationFailure } from '@temporalio/common';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { TransientFailure } from '../../activities/failures.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { eventTaskQueue, webhooksWorkflowId } from '../../workflows/event-messages.ts';
import { type ArchivedMonthFacts, AUDIT_MAINTENANCE_WORKFLOW_TYPE } from '../../workflows/maintenance-messages.ts';
import { GROUP_WORKFLOW_TYPE, type GroupItem } from '../../workflows/messages.ts';
import { type AuditRunFacts, SCHEDULED_AUDIT_WORKFLOW_TYPE } from '../../workflows/scheduled-audit-messages.ts';
import {
  ANNOUNCE_HEADS_WORKFLOW_TYPE,
  type HeadsToAnnounce,
  STAMP_HEADS_WORKFLOW_TYPE,
  type StampOrder,
} from '../../workflows/seal-messages.ts';
import type { Company } from './companies.ts';
import { until } from './held-invoice.ts';
import { saveHistory } from './histories.ts';
import { oneByOne } from './one-by-one.ts';
import { startReceiver } from './receiver.ts';
import { startRelay } from './relay.ts';
import { type System, startSystem } from './system.ts';
import { trustOf } from './trusted-fence.ts';
import { writeArguments } from './write-arguments.ts';

/** Of each workflow's history, not of the product. */
const VERSION = {
  writeGroup: 'v1',
  webhooks: 'v1',
  announceHeads: 'v1',
  stampHeads: 'v1',
  sendInvoiceReminders: 'v1',
  closeMonth: 'v4',
  auditMaintenance: 'v1',
  scheduledAudit: 'v1',
} as const;

let system: System;
let company: Company;
const seen = new Set<string>();
beforeAll(async () => {
  const operations = OPERATIONS.map((operation) => ({
    ...oneByOne(operation),
    write: (...[tx, input, context]: Parameters<typeof operation.write>) => {
      const name = String(input.body['name']);
      if (name === 'fails-once' && !seen.has(name)) {
        seen.add(name);
        throw new TransientFailure('Planted', { mayHaveCommitted: false });
      }
      return operation.write(tx, input, context);
    },
  }));
  system = await startSystem({ operations, environment: { WEBHOOK_ALLOW_PRIVATE: '1', PAYLOAD_ENCRYPTION: 'accept' } });
  company = await system.company();
});
afterAll(() => system.stop());

function record(type: keyof typeof VERSION, way: string, workflowId: string): Promise<string> {
  return saveHistory(system.temporal, `${type}-${VERSION[type]}-${way}`, workflowId);
}

const item = (name: string): GroupItem => ({
  args: writeArguments(company, createCustomer, { name }, name),
  workflowId: workflowIdOf(company.id, name),
  summary: 'recorded',
});

async function runGroup(way: string, items: readonly GroupItem[], more: readonly unknown[] = []): Promise<string> {
  const workflowId = `group:${way}`;
  const taskQueue = system.environment['TEMPORAL_TASK_QUEUE'] as string;
  await system.temporal.workflow.start(GROUP_WORKFLOW_TYPE, { workflowId, taskQueue, args: [items, ...more] });
  return record('writeGroup', way, workflowId);
}

test('a group whose items all have their outcome', async () => {
  expect(await runGroup('success', [item('one'), item('two')])).toBe('COMPLETED');
});

test('a group that an item leaves', async () => {
  expect(await runGroup('ungrouped', [item('three'), item('fails-once')])).toBe('COMPLETED');
});

test('a group of which an item that leaves has a run already', async () => {
  const { args, workflowId } = item('has-its-run');
  const key = workflowIdOf(company.id, 'has-its-run');
  await company.api.created('/api/customers', { name: 'has-its-run' }, { key: 'has-its-run' });
  await system.temporal.workflow.getHandle(key).result();
  // Of a release that this worker does not know, so that it gets no outcome here.
  const unknownHere = { args: { ...args, schemaVersion: 99 }, workflowId, summary: 'recorded' };
  expect(await runGroup('ungrouped-has-run', [unknownHere])).toBe('COMPLETED');
});

test('a group that is the chunk of a batch, which an item leaves', async () => {
  const { trust } = await trustOf(system.owner);
  const unknownHere = {
    ...item('of-a-later-release'),
    args: { ...item('of-a-later-release').args, schemaVersion: 99 },
  };
  expect(await runGroup('chunk', [item('of-a-chunk'), unknownHere], [trust, { setSize: 100 }])).toBe('COMPLETED');
});

test('heads that are announced, received at once, and after a failure', async () => {
  const receiver = await startReceiver();
  const relay = await startRelay(system);
  try {
    for (const way of ['delivered', 'retried']) {
      const own = await system.company();
      await system.owner.query('UPDATE companies SET webhook_url = $2 WHERE id = $1', [own.id, receiver.url]);
      receiver.answer((_call, response) => {
        const isFirst = !seen.has(`head ${way}`);
        seen.add(`head ${way}`);
        response.writeHead(way === 'retried' && isFirst ? 500 : 204).end();
      });
      const heads = [{ head: '{"log":"journal","position":1}', keyId: 'key', signature: '' }];
      const workflowId = `seal-heads:${way}`;
      await system.temporal.workflow.execute(ANNOUNCE_HEADS_WORKFLOW_TYPE, {
        workflowId,
        taskQueue: eventTaskQueue(system.environment['TEMPORAL_TASK_QUEUE'] as string),
        args: [{ calls: [{ companyId: own.id, callId: way, heads }], delaysMs: [10] } satisfies HeadsToAnnounce],
      });
      expect(await record('announceHeads', way, workflowId)).toBe('COMPLETED');
    }
  } finally {
    await relay.close();
    await receiver.close();
  }
});

test('webhook calls, delivered at once, and after a failure', async () => {
  const receiver = await startReceiver();
  const relay = await startRelay(system);
  try {
    for (const way of ['delivered', 'retried']) {
      const own = await system.company();
      await system.owner.query('UPDATE companies SET webhook_url = $2 WHERE id = $1', [own.id, receiver.url]);
      receiver.answer((_call, response) => {
        const isFirst = !seen.has(way);
        seen.add(way);
        response.writeHead(way === 'retried' && isFirst ? 500 : 204).end();
      });
      await own.customer();
      const ask = 'SELECT batch_id FROM outbox WHERE company_id = $1 AND delivered_at IS NOT NULL';
      await until('the event to be delivered', async () => (await system.owner.query(ask, [own.id])).rowCount === 1);
      const { rows } = await system.owner.query(ask, [own.id]);
      expect(await record('webhooks', way, webhooksWorkflowId(own.id, rows[0].batch_id))).toBe('COMPLETED');
    }
  } finally {
    await relay.close();
    await receiver.close();
  }
});

/** Triggers the workflow, does what is to be done before it runs, and records it. */
async function runTriggered(
  type: 'sendInvoiceReminders' | 'closeMonth',
  way: string,
  payload: object,
  own: Company,
  before: (triggerId: string) => Promise<unknown> = async () => {},
): Promise<string> {
  const trigger = await own.api.created(`/api/workflows/${type}/trigger`, { payload });
  await before(trigger.id);
  const relay = await startRelay(system);
  try {
    const handle = system.temporal.workflow.getHandle(trigger.workflowId);
    await until('its start', async () => (await handle.describe().catch(() => undefined)) !== undefined);
    return await record(type, way, trigger.workflowId);
  } finally {
    await relay.close();
  }
}

test('reminders of two invoices', async () => {
  const own = await system.company();
  await Promise.all([own.invoice(), own.invoice()]);
  expect(await runTriggered('sendInvoiceReminders', 'recorded', { asOf: '2027-01-01' }, own)).toBe('COMPLETED');
});

test('reminders when none is due', async () => {
  expect(await runTriggered('sendInvoiceReminders', 'none-due', { asOf: '2020-01-01' }, await system.company())).toBe(
    'COMPLETED',
  );
});

test('reminders of which one has its write already', async () => {
  const own = await system.company();
  const invoiceId = await own.invoice();
  const meeting = runTriggered(
    'sendInvoiceReminders',
    'existing-write',
    { asOf: '2027-01-01' },
    own,
    async (triggerId) => {
      const key = `trigger:${triggerId}:${invoiceId}:1`;
      const args = {
        ...writeArguments(own, createCustomer, { name: 'Has the key' }, key),
        request: { id: 'recorded', method: 'POST', path: '/api/customers' },
      };
      const taskQueue = system.environment['TEMPORAL_TASK_QUEUE'] as string;
      const workflowId = workflowIdOf(own.id, key);
      await system.temporal.workflow.execute('write', { workflowId, taskQueue, args: [args] });
    },
  );
  expect(await meeting).toBe('COMPLETED');
});

test('a month that is closed, that was closed, and that cannot be closed', async () => {
  const own = await system.company();
  await own.invoice();
  expect(await runTriggered('closeMonth', 'closed', { through: '2026-01-31' }, own)).toBe('COMPLETED');
  expect(await runTriggered('closeMonth', 'was-closed', { through: '2026-01-31' }, own)).toBe('COMPLETED');
  expect(await runTriggered('closeMonth', 'refused', { through: '2999-01-01' }, own)).toBe('COMPLETED');
  expect((await own.api.get('/api/company/settings')).json.booksClosedThrough).toBe('2026-01-31');
});

/** Its activities are played here: what they do to the audit log is not of the workflow's history. */
async function maintain(
  way: string,
  months: readonly string[],
  archiveMonth: () => Promise<ArchivedMonthFacts>,
): Promise<string> {
  const taskQueue = `maintenance-${way}`;
  const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  const worker = await Worker.create({
    connection,
    taskQueue,
    workflowBundle: { codePath: inject('bundlePath') },
    activities: {
      keepPartitions: async () => ({ moved: 0, made: 1 }),
      findMonthsToArchive: async () => months,
      archiveMonth,
    },
  });
  const workflowId = `auditMaintenance:${way}`;
  try {
    return await worker.runUntil(async () => {
      await system.temporal.workflow.start(AUDIT_MAINTENANCE_WORKFLOW_TYPE, { workflowId, taskQueue });
      return record('auditMaintenance', way, workflowId);
    });
  } finally {
    await connection.close();
  }
}

test('a day on which no month is to be archived, one on which two are, and one on which one cannot be', async () => {
  const facts = async () => ({ month: '2025-01', rows: 1, file: '2025-01.jsonl.gz' });
  const refused = () => Promise.reject(ApplicationFailure.create({ nonRetryable: true, message: 'Planted' }));
  expect(await maintain('none-due', [], facts)).toBe('COMPLETED');
  expect(await maintain('archived', ['2025-01', '2025-02'], facts)).toBe('COMPLETED');
  expect(await maintain('not-archived', ['2025-01'], refused)).toBe('FAILED');
});

/** Its activity is played here, like those of the maintenance. */
async function audit(way: string, auditBooks: () => Promise<AuditRunFacts>): Promise<string> {
  const taskQueue = `auditor-${way}`;
  const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  const worker = await Worker.create({
    connection,
    taskQueue,
    workflowBundle: { codePath: inject('bundlePath') },
    activities: { auditBooks },
  });
  const workflowId = `${SCHEDULED_AUDIT_WORKFLOW_TYPE}:${way}`;
  try {
    return await worker.runUntil(async () => {
      const args = [{ schedule: workflowId, scope: 'recent' }];
      await system.temporal.workflow.start(SCHEDULED_AUDIT_WORKFLOW_TYPE, { workflowId, taskQueue, args });
      return record('scheduledAudit', way, workflowId);
    });
  } finally {
    await connection.close();
  }
}

test('an audit that has recorded what it found, and one that was refused', async () => {
  expect(await audit('recorded', async () => ({ scope: 'recent', writes: 2, findings: 0, couldNotAsk: 0 }))).toBe(
    'COMPLETED',
  );
  const refused = () => Promise.reject(ApplicationFailure.create({ nonRetryable: true, message: 'Planted' }));
  expect(await audit('refused', refused)).toBe('FAILED');
});

/** Its activity is played here as well. */
async function stamp(way: string, stampHeads: () => Promise<number>): Promise<string> {
  const taskQueue = `sealer-${way}`;
  const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  const workflowBundle = { codePath: inject('bundlePath') };
  const worker = await Worker.create({ connection, taskQueue, workflowBundle, activities: { stampHeads } });
  const workflowId = `seal-time-stamps:${way}`;
  try {
    return await worker.runUntil(async () => {
      const args = [{ retry: { firstMs: 10, mostMs: 100 } } satisfies StampOrder];
      await system.temporal.workflow.start(STAMP_HEADS_WORKFLOW_TYPE, { workflowId, taskQueue, args });
      return record('stampHeads', way, workflowId);
    });
  } finally {
    await connection.close();
  }
}

test('heads that get their time stamps after a failure, and such as are given up', async () => {
  const failsOnce = async () => {
    if (seen.has('stamped')) return 2;
    seen.add('stamped');
    throw new Error('Planted');
  };
  expect(await stamp('stamped', failsOnce)).toBe('COMPLETED');
  const refused = () => Promise.reject(ApplicationFailure.create({ nonRetryable: true, message: 'Planted' }));
  expect(await stamp('given-up', refused)).toBe('FAILED');
});
