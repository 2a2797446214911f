import type { NativeConnection, Worker, WorkflowBundle } from '@temporalio/worker';
import { createWriteActivities } from '../activities/write/activities.ts';
import { createWorker } from './create-worker.ts';
import { workerVersioning } from './versioning.ts';
import { type WriteReports, writeDependencies } from './write-reports.ts';

/** Enough that every start finds a free slot and stays eager; measured with up to 500 concurrent starts. */
const WORKFLOW_TASK_SLOTS = 200;
/** Not below the slots: an evicted workflow must be replayed from the start of its history. */
const CACHED_WORKFLOWS = 200;
const WORKFLOW_TASK_POLLERS = 2;
/** How long open transactions may take on shutdown: longer than the statement timeout. */
const SHUTDOWN_GRACE_MS = 15_000;

export type WriteWorkerOptions = WriteReports & {
  readonly connection: NativeConnection;
  readonly workflowBundle: WorkflowBundle;
};

/** The worker of the write queue. The API runs it for eager starts; the worker process runs it as a backstop. */
export async function createWriteWorker(options: WriteWorkerOptions): Promise<Worker> {
  const { config, connection } = options;
  return createWorker(options, {
    connection,
    taskQueue: config.TEMPORAL_TASK_QUEUE,
    workflowBundle: options.workflowBundle,
    activities: createWriteActivities(writeDependencies(options)),
    maxConcurrentWorkflowTaskExecutions: WORKFLOW_TASK_SLOTS,
    maxConcurrentLocalActivityExecutions: WORKFLOW_TASK_SLOTS,
    maxCachedWorkflows: CACHED_WORKFLOWS,
    workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: WORKFLOW_TASK_POLLERS },
    shutdownGraceTime: SHUTDOWN_GRACE_MS,
    // All activities here are local; do not poll for others.
    enableNonLocalActivities: false,
    ...workerVersioning(config, 'PINNED'),
  });
}
