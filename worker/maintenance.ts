import { access, constants, stat } from 'node:fs/promises';
import type { NativeConnection, WorkflowBundle } from '@temporalio/worker';
import type { Logger } from 'pino';
import { createAuditMaintenance } from '../activities/audit/maintenance.ts';
import { openPool, type Pool, queryOnce } from '../activities/database.ts';
import { maintenanceTaskQueue } from '../workflows/maintenance-messages.ts';
import { createClient } from './client.ts';
import type { WorkerConfig } from './config.ts';
import { createWorker, type WorkerBasis } from './create-worker.ts';
import { checkLogin } from './login.ts';
import { ensureMaintenanceSchedule } from './maintenance-schedule.ts';
import { workerVersioning } from './versioning.ts';

const ROLE = 'accubooks_maintenance';
/** One statement compares a whole month with its archive, which takes long with many millions of rows. */
const STATEMENT_TIMEOUT_MS = 30 * 60 * 1000;
const CONNECTIONS = 2;
const SHUTDOWN_GRACE_MS = 5_000;
/** An export in progress ends with the process; another worker, or the next run, starts it again. */
const SHUTDOWN_FORCE_MS = 10_000;

export type RunningMaintenance = {
  /** Rejects when the worker stops on an error of its own. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
};

/**
 * Starts the maintenance worker of the audit log and ensures its daily schedule. A process whose login is not a member of
 * accubooks_maintenance logs a warning and runs no maintenance.
 */
export async function startMaintenance(options: {
  readonly config: WorkerConfig;
  readonly connection: NativeConnection;
  readonly workflowBundle: WorkflowBundle;
  readonly metrics: WorkerBasis['metrics'];
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
    logger.warn(
      `This worker does not maintain the audit log: its login is not a member of ${ROLE} (docs/operating.md)`,
    );
    await pool.close();
    return { ended: new Promise(() => undefined), close: async () => undefined };
  }
  if (config.AUDIT_ARCHIVE_DIR !== undefined) await requireFolder('AUDIT_ARCHIVE_DIR', config.AUDIT_ARCHIVE_DIR);
  // AUTO_UPGRADE below: a run pinned to a release that no longer has workers would block the schedule for ever.
  const worker = await createWorker(options, {
    connection,
    taskQueue: maintenanceTaskQueue(config.TEMPORAL_TASK_QUEUE),
    workflowBundle: options.workflowBundle,
    activities: createAuditMaintenance({
      pool,
      archiveFolder: config.AUDIT_ARCHIVE_DIR,
      requireOrder: config.PAYLOAD_KEYS !== undefined && config.PAYLOAD_ENCRYPTION === 'require',
    }),
    // One month at a time, because archiving is not urgent and must not slow down writes.
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
  await ensureMaintenanceSchedule(createClient(connection, config), config.TEMPORAL_TASK_QUEUE);
  return {
    ended: running,
    async close() {
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await running.catch(() => undefined);
      await pool.close();
    },
  };
}

/** Does not create the folder: a missing mount would silently become a local folder that nobody backs up. */
export async function requireFolder(setting: string, path: string): Promise<void> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) throw new Error(`${setting}: ${path} is not a folder`);
  await access(path, constants.W_OK).catch((cause: Error) => {
    throw new Error(`${setting}: ${path} is not writable`, { cause });
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
