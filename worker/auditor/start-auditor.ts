import type { NativeConnection, WorkflowBundle } from '@temporalio/worker';
import type { Logger } from 'pino';
import { openAuditorPool } from '../../activities/auditor/auditor-pool.ts';
import { DATABASE_CHECKS } from '../../activities/auditor/checks.ts';
import { createScheduledAudit } from '../../activities/auditor/scheduled-audit.ts';
import { auditorTaskQueue } from '../../workflows/scheduled-audit-messages.ts';
import { createClient } from '../client.ts';
import type { WorkerConfig } from '../config.ts';
import { createWorker, type WorkerBasis } from '../create-worker.ts';
import { checkLogin } from '../login.ts';
import { workerVersioning } from '../versioning.ts';
import { memoHeadsCheck } from './memo-heads-check.ts';
import { runsCheck } from './runs-check.ts';
import { ensureAuditSchedules } from './schedules.ts';

/** The connection that reads, and one to spare. */
const CONNECTIONS = 2;
const SHUTDOWN_GRACE_MS = 5_000;
/** A run in progress ends with the process; another worker begins it again. */
const SHUTDOWN_FORCE_MS = 10_000;

export type RunningAuditor = {
  /** Rejects when the worker stops on an error of its own. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
};

/** Starts the worker of the auditor's schedules, and ensures them. Without AUDITOR_DATABASE_URL this process runs no audit. */
export async function startAuditor(options: {
  readonly config: WorkerConfig;
  readonly connection: NativeConnection;
  readonly workflowBundle: WorkflowBundle;
  readonly metrics: WorkerBasis['metrics'];
  readonly logger: Logger;
}): Promise<RunningAuditor> {
  const { config, connection, logger } = options;
  if (config.AUDITOR_DATABASE_URL === undefined) {
    logger.warn('This worker runs no audit: AUDITOR_DATABASE_URL is not set (docs/audit.md)');
    return { ended: new Promise(() => undefined), close: async () => undefined };
  }
  const pool = openAuditorPool(config.AUDITOR_DATABASE_URL, CONNECTIONS);
  await checkLogin(pool, config.ALLOW_OWNER_LOGIN === '1', {
    setting: 'AUDITOR_DATABASE_URL',
    role: 'accubooks_auditor',
  });
  const client = createClient(connection, config);
  const taskQueue = config.TEMPORAL_TASK_QUEUE;
  const worker = await createWorker(options, {
    connection,
    taskQueue: auditorTaskQueue(taskQueue),
    workflowBundle: options.workflowBundle,
    activities: createScheduledAudit({
      pool,
      checks: [...DATABASE_CHECKS, runsCheck({ client, taskQueue }), memoHeadsCheck({ client, taskQueue })],
      requireOrder: config.PAYLOAD_KEYS !== undefined && config.PAYLOAD_ENCRYPTION === 'require',
    }),
    maxConcurrentActivityTaskExecutions: 1,
    maxConcurrentWorkflowTaskExecutions: 2,
    maxCachedWorkflows: 2,
    workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
    activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 1 },
    shutdownGraceTime: SHUTDOWN_GRACE_MS,
    shutdownForceTime: SHUTDOWN_FORCE_MS,
    // As for the maintenance of the audit log: a run pinned to a release without workers would block the schedule.
    ...workerVersioning(config, 'AUTO_UPGRADE'),
  });
  const running = worker.run();
  await ensureAuditSchedules(client, taskQueue);
  return {
    ended: running,
    async close() {
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await running.catch(() => undefined);
      await pool.close();
    },
  };
}
