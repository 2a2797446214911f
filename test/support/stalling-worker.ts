import { fileURLToPath } from 'node:url';
import { Client } from '@temporalio/client';
import { bundleWorkflowCode, NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';
import { createWorker } from '../../worker/create-worker.ts';

/** A process of its own, for what may end it: runs the workflow `stall` on the Temporal server of its first argument. */
const [address = ''] = process.argv.slice(2);
const taskQueue = `stalling-${process.pid}`;
const connection = await NativeConnection.connect({ address });
const workflowBundle = await bundleWorkflowCode({
  workflowsPath: fileURLToPath(new URL('stalling-workflow.ts', import.meta.url)),
});
const common = {
  config: { TEMPORAL_NAMESPACE: 'default', PAYLOAD_KEYS: undefined, PAYLOAD_ENCRYPTION: 'accept' },
  logger: pino({ level: 'silent' }),
  metrics: { temporalRefused: { inc() {} } },
} as const;
const worker = await createWorker(common, { connection, taskQueue, workflowBundle });
await worker.runUntil(
  new Client({ connection }).workflow.execute('stall', {
    taskQueue,
    workflowId: taskQueue,
    workflowTaskTimeout: 60_000,
    workflowExecutionTimeout: 60_000,
  }),
);
process.stdout.write('It went on.\n');
