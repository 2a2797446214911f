import { randomUUID } from 'node:crypto';
import { Client } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { workflowIdOf } from '../../activities/identity.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import type { GroupItem, GroupResult, RunResult } from '../../workflows/messages.ts';
import { TRUSTED } from '../support/trusted-fence.ts';
import { writeArguments } from '../support/write-arguments.ts';

/** The workflow of a group alone: its activities are played here. */
let connection: NativeConnection;
beforeAll(async () => {
  connection = await NativeConnection.connect({ address: inject('temporalAddress') });
});
afterAll(() => connection.close());

/** The results of a group whose activity fails as a whole, and the writes that were made by themselves. */
async function runFailing(more: readonly unknown[]) {
  const company = { id: randomUUID(), users: { owner: { id: randomUUID() } } } as never;
  const items = ['one', 'two', 'three'].map((key): GroupItem => {
    const args = writeArguments(company, createCustomer, { name: key }, key);
    return { args, workflowId: workflowIdOf(args.companyId, key), summary: key };
  });
  const made: string[] = [];
  const taskQueue = `group-activity-${randomUUID()}`;
  const worker = await Worker.create({
    connection,
    taskQueue,
    workflowBundle: { codePath: inject('bundlePath') },
    activities: {
      runGroup: () => Promise.reject(ApplicationFailure.create({ message: 'The process is out of memory' })),
      async runOperation({ key }: { key: string }): Promise<RunResult> {
        made.push(key);
        return { outcome: 'succeeded', statusCode: 201, writeId: randomUUID(), first: true };
      },
    },
  });
  const { workflow } = new Client({ connection });
  const group = await worker.runUntil(async () => {
    const group: GroupResult = await workflow.execute('writeGroup', {
      workflowId: `group:${randomUUID()}`,
      taskQueue,
      args: [items, ...more],
    });
    const own = group.left.flatMap(({ index, runId }) => (runId === null ? [] : (items[index]?.workflowId ?? [])));
    await Promise.all(own.map((workflowId) => workflow.getHandle(workflowId).result()));
    return group;
  });
  return { left: group.left, made: made.toSorted() };
}

test('when the activity of a group fails as a whole, each of its writes goes on in a workflow of its own', async () => {
  expect(await runFailing([])).toEqual({
    left: [0, 1, 2].map((index) => ({ index, runId: expect.any(String) })),
    made: ['one', 'three', 'two'],
  });
});

test('when that of a chunk does, none of its rows goes on by itself, and each may be tried again', async () => {
  expect(await runFailing([TRUSTED.trust, { setSize: 10 }])).toEqual({
    left: [0, 1, 2].map((index) => ({ index, runId: null, failure: 'transient' })),
    made: [],
  });
});
