import { access, constants, stat } from 'node:fs/promises';
import { Client } from '@temporalio/client';
import { type NativeConnection, Worker, type WorkflowBundle } from '@temporalio/worker';
import type { Logger } from 'pino';
import { createAuditMaintenance } from '../activities/audit/maintenance.ts';
import { openPool, type Pool, queryOnce } from '../activities/database.ts';
import { maintenanceTaskQueue } from '../workflows/maintenance-messages.ts';
import type { WorkerConfig } from './config.ts';
import { checkLogin } from './login.ts';
import { ensureMaintenanceSchedule } from './maintenance-schedule.ts';
import { workerVersioning } from './versioning.ts';

const ROLE = 'accubooks_maintenance';
/** A month is read page by page and compared by one statement, which may take long where there are many millions of rows. */
const STATEMENT_TIMEOUT_MS = 30 * 60 * 1000;
const CONNECTIONS = 2;
const SHUTDOWN_GRACE_MS = 5_000;
/** An export that is under way ends with the process; another worker, or the next run, begins it anew. */
const SHUTDOWN_FORCE_MS = 10_000;

export type RunningMaintenance = {
  /** Rejects when the worker has stopped by itself. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
};

/**
 * The maintenance of the audit log, and the schedule that starts it once a day. A worker whose login may not act as
 * accubooks_maintenance leaves it to others, and says so.
 */
export async function startMaintenance(options: {
  readonly config: WorkerConfig;
  readonly connection: NativeConnection;
  readonly workflowBundle: WorkflowBundle;
  readonly logger: Logger;
}): Promise<RunningMaintenance> {
  const { config, connection, logger } = options;
  const pool = openPool({
    connectionString: config.MAINTENANCE_DATABASE_URL ?? config.DATABASE_URL,
    max: CONNECTIONS,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    applicationName: 'accubooks-maintenance',
  });
  if (config.MAINTENANCE_DATABASE_URL !== undefined) {
    const setting = 'MAINTENANCE_DATABASE_URL';
    await checkLogin(pool, config.ALLOW_OWNER_LOGIN === '1', { setting, role: ROLE });
  } else if (!(await mayMaintain(pool))) {
    logger.warn(`This worker does not maintain the audit log: its login is no member of ${ROLE} (docs/operating.md)`);
    await pool.close();
    return { ended: new Promise(() => undefined), close: async () => undefined };
  }
  if (config.AUDIT_ARCHIVE_DIR !== undefined) await expectFolder(config.AUDIT_ARCHIVE_DIR);
  // Goes on with whichever release is current: a run that waited for one that is gone would block the schedule for good.
  const worker = await Worker.create({
    connection,
    namespace: config.TEMPORAL_NAMESPACE,
    taskQueue: maintenanceTaskQueue(config.TEMPORAL_TASK_QUEUE),
    workflowBundle: options.workflowBundle,
    activities: createAuditMaintenance({ pool, archiveFolder: config.AUDIT_ARCHIVE_DIR }),
    // One month at a time: it is in no hurry, and writes are.
    maxConcurrentActivityTaskExecutions: 1,
    maxConcurrentWorkflowTaskExecutions: 2,
    maxCachedWorkflows: 2,
    workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
    activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 1 },
    shutdownGraceTime: SHUTDOWN_GRACE_MS,
    shutdownForceTime: SHUTDOWN_FORCE_MS,
    ...workerVersioning(config, 'AUTO_UPGRADE'),
  });
  const running = worker.run();
  await ensureMaintenanceSchedule(
    new Client({ connection, namespace: config.TEMPORAL_NAMESPACE }),
    config.TEMPORAL_TASK_QUEUE,
  );
  return {
    ended: running,
    async close() {
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await running.catch(() => undefined);
      await pool.close();
    },
  };
}

/** It is not made: a mount that is missing would be a folder that nobody backs up. */
async function expectFolder(path: string): Promise<void> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) throw new Error(`AUDIT_ARCHIVE_DIR: ${path} is no folder`);
  await access(path, constants.W_OK).catch((cause: Error) => {
    throw new Error(`AUDIT_ARCHIVE_DIR: ${path} cannot be written to`, { cause });
  });
}

async function mayMaintain(pool: Pool): Promise<boolean> {
  const [login] = await queryOnce<{ member: boolean }>(
    pool,
    "SELECT pg_has_role(session_user, $1, 'MEMBER') AS member",
    [ROLE],
  );
  return login?.member === true;
}
