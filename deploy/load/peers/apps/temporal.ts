/**
 * Bare Temporal: one workflow per payment, whose ID is company and key, started eagerly, with the SQL in one local activity.
 * API and worker share a process and its connection, as ours do.
 */
import { Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { config, required } from './config.ts';
import type { Command, Written } from './payment.ts';
import { openPaymentPool, servePayments } from './service.ts';
import { payInOneStatement, queryOf } from './write-payment.ts';

const TASK_QUEUE = 'payments';
/** The same values as in worker/write-worker.ts. */
const WORKFLOW_TASK_SLOTS = 200;
const CACHED_WORKFLOWS = 200;
const WORKFLOW_TASK_POLLERS = 2;

Runtime.install({ shutdownSignals: [], logger: new DefaultLogger('ERROR') });
const query = queryOf(openPaymentPool());
const connection = await NativeConnection.connect({ address: required(config.TEMPORAL_ADDRESS) });
const worker = await Worker.create({
  connection,
  taskQueue: TASK_QUEUE,
  workflowBundle: { codePath: required(config.WORKFLOW_BUNDLE) },
  activities: { pay: (command: Command) => payInOneStatement(query, command) },
  maxConcurrentWorkflowTaskExecutions: WORKFLOW_TASK_SLOTS,
  maxConcurrentLocalActivityExecutions: WORKFLOW_TASK_SLOTS,
  maxCachedWorkflows: CACHED_WORKFLOWS,
  workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: WORKFLOW_TASK_POLLERS },
  enableNonLocalActivities: false,
});
worker.run().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});

const { workflow } = new Client({ connection });
await servePayments(async (command) => {
  const workflowId = `${command.companyId}/${command.key}`;
  try {
    const handle = await workflow.start<(command: Command) => Promise<Written>>('createPayment', {
      workflowId,
      taskQueue: TASK_QUEUE,
      args: [command],
      requestEagerStart: true,
      workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
    });
    return await handle.result();
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    return (await workflow.getHandle(workflowId).result()) as Written;
  }
});
