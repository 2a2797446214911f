import type { NativeConnection, Worker, WorkflowBundle } from '@temporalio/worker';
import type { Logger } from 'pino';
import type { Pool } from '../activities/database.ts';
import { createEventActivities } from '../activities/events/activities.ts';
import type { Operation } from '../activities/operation.ts';
import { masterKeysOf } from '../activities/webhooks/secrets.ts';
import type { Fence } from '../activities/write/fence.ts';
import { eventTaskQueue } from '../workflows/event-messages.ts';
import type { ProcessConfig } from './config.ts';
import { createWorker } from './create-worker.ts';
import type { Metrics } from './metrics.ts';
import { workerVersioning } from './versioning.ts';

/**
 * A receiver that takes a call and does not answer it holds a slot for the five seconds of the call, and its workflow's task
 * with it. So there are more than there will be such receivers at once: a call costs a socket and little memory.
 */
const CALLS_AT_ONCE = 400;
const SHUTDOWN_GRACE_MS = 10_000;
/** An activity that waits for an unreachable database ends with the process; Temporal schedules another attempt. */
const SHUTDOWN_FORCE_MS = 15_000;

/** The worker for webhook calls and registered workflows. Separate from the write worker, so that no write waits for them. */
export async function createEventWorker(options: {
  readonly config: ProcessConfig;
  readonly connection: NativeConnection;
  readonly workflowBundle: WorkflowBundle;
  readonly reads: Pool;
  readonly writes: Pool;
  readonly relay: Pool;
  readonly operations: readonly Operation[];
  readonly fence: Fence;
  readonly metrics: Metrics;
  readonly logger: Logger;
}): Promise<Worker> {
  const { config, metrics } = options;
  return createWorker(options, {
    connection: options.connection,
    taskQueue: eventTaskQueue(config.TEMPORAL_TASK_QUEUE),
    workflowBundle: options.workflowBundle,
    activities: createEventActivities({
      reads: options.reads,
      writes: options.writes,
      relay: options.relay,
      operations: options.operations,
      fence: options.fence,
      masterKeys: masterKeysOf(config),
      allowPrivateWebhooks: config.WEBHOOK_ALLOW_PRIVATE === '1',
      onWebhookAttempt(outcome, event) {
        metrics.webhookAttempts.inc({ outcome });
        options.logger.info({ ...event, outcome }, 'Webhook called');
      },
    }),
    maxConcurrentLocalActivityExecutions: CALLS_AT_ONCE,
    maxConcurrentWorkflowTaskExecutions: CALLS_AT_ONCE,
    maxCachedWorkflows: CALLS_AT_ONCE,
    shutdownGraceTime: SHUTDOWN_GRACE_MS,
    shutdownForceTime: SHUTDOWN_FORCE_MS,
    // All activities here are local; do not poll for others.
    enableNonLocalActivities: false,
    ...workerVersioning(config, 'AUTO_UPGRADE'),
  });
}
