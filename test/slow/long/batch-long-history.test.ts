import { randomUUID } from 'node:crypto';
import { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { BatchActivities, BatchEnd } from '../../../workflows/batch-messages.ts';

describe('the workflow of a batch, with its activities played', () => {
  let connection: NativeConnection;
  beforeAll(async () => {
    connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  });
  afterAll(() => connection.close());

  test('goes on in another run long before its history is long, each loop with one activity at a time', async () => {
    const CHUNKS = 400;
    let written = 0;
    const running = new Set<number>();
    let overlaps = 0;
    const taskQueue = `batch-played-${randomUUID()}`;
    const activities: BatchActivities = {
      async advanceBatch({ loop }) {
        if (running.has(loop)) overlaps += 1;
        running.add(loop);
        await new Promise((resolve) => setImmediate(resolve));
        running.delete(loop);
        if (written >= CHUNKS) return { kind: 'completed', chunk: null, progress: null };
        // The other loop is in the way of every seventh: none of them waits for a minute.
        if (loop === 2 && written % 7 === 6) return { kind: 'blocked', chunk: null, progress: null };
        written += 1;
        return { kind: 'written', chunk: written, progress: null };
      },
    };
    const worker = await Worker.create({
      connection,
      taskQueue,
      workflowBundle: { codePath: inject('bundlePath') },
      activities,
    });
    const { workflow } = new Client({ connection });
    const workflowId = `batch:${randomUUID()}:played`;
    const { end, first } = await worker.runUntil(async () => {
      const handle = await workflow.start('batch', {
        workflowId,
        taskQueue,
        args: [{ companyId: randomUUID(), batchId: randomUUID(), chunksAtOnce: 2 }],
      });
      const end = (await handle.result()) as BatchEnd;
      return { end, first: workflow.getHandle(workflowId, handle.firstExecutionRunId) };
    });
    expect([end.state, written, overlaps]).toEqual(['completed', CHUNKS, 0]);
    const { status, historyLength } = await first.describe();
    expect([status.name, historyLength < 4_000]).toEqual(['CONTINUED_AS_NEW', true]);
  });
});
