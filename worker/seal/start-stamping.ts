import type { Client } from '@temporalio/client';
import type { NativeConnection, WorkflowBundle } from '@temporalio/worker';
import type { Logger } from 'pino';
import type { Pool } from '../../activities/database.ts';
import { someHeadWaits } from '../../activities/seal/evidence.ts';
import { createStampActivities } from '../../activities/seal/stamp-heads.ts';
import type { HeadWitness } from '../../activities/seal/witness.ts';
import { STAMP_HEADS_WORKFLOW_TYPE, type StampOrder, sealerTaskQueue } from '../../workflows/seal-messages.ts';
import { callWithin } from '../call-within.ts';
import type { WorkerConfig } from '../config.ts';
import { createWorker } from '../create-worker.ts';
import type { Metrics } from '../metrics.ts';
import { workerVersioning } from '../versioning.ts';
import { appendHeads, toPublished } from './announce-heads.ts';

const START_TIMEOUT_MS = 10_000;
/** The authority of others is not to be asked all the time, and a stamp of some minutes later shows nearly as much. */
const RETRY: StampOrder['retry'] = { firstMs: 10_000, mostMs: 300_000 };
const SHUTDOWN_GRACE_MS = 5_000;
/** An attempt in progress ends with the process; another worker begins with what is still missing. */
const SHUTDOWN_FORCE_MS = 10_000;

export type Stamping = {
  /** Has a run started, if a head has no time stamp and there is none. */
  stampNew(): Promise<void>;
  /** Rejects when the worker stops on an error of its own. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
};

/** Starts the worker that has heads time-stamped. Without SEAL_TIMESTAMP_URL there are no time stamps. */
export async function startStamping(options: {
  readonly config: WorkerConfig;
  readonly connection: NativeConnection;
  readonly workflowBundle: WorkflowBundle;
  readonly client: Client;
  /** Its login is a member of accubooks_sealer. */
  readonly pool: Pool;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly retry?: StampOrder['retry'];
}): Promise<Stamping | undefined> {
  const { config, connection, client, pool, metrics, logger } = options;
  const witness = await openWitness(config, logger);
  if (witness === undefined) return undefined;
  const taskQueue = sealerTaskQueue(config.TEMPORAL_TASK_QUEUE);
  const folder = config.SEAL_HEADS_DIR;
  const worker = await createWorker(options, {
    connection,
    taskQueue,
    workflowBundle: options.workflowBundle,
    activities: createStampActivities({
      ...{ pool, witness },
      async tell(head, { bytes, at }) {
        const stamped = { ...toPublished(head), timeStamp: bytes.toString('base64') };
        logger.info({ ...stamped, stampedAt: at }, 'A head of the seal is time-stamped');
        if (folder !== undefined) await appendHeads(folder, [stamped]);
      },
      onFault({ companyId, log, position }, error) {
        metrics.timeStampFailures.inc({ kind: error.kind });
        logger.warn(
          { err: error, companyId, log, position },
          'A head of the seal got no time stamp; it is tried again',
        );
      },
      onUntold({ companyId, log, position }, err) {
        logger.warn(
          { err, companyId, log, position },
          'The time stamp of a head of the seal is kept in the database, and not in SEAL_HEADS_DIR',
        );
      },
    }),
    maxConcurrentActivityTaskExecutions: 1,
    maxConcurrentWorkflowTaskExecutions: 2,
    maxCachedWorkflows: 2,
    workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
    activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 1 },
    shutdownGraceTime: SHUTDOWN_GRACE_MS,
    shutdownForceTime: SHUTDOWN_FORCE_MS,
    // As for the auditor: a run pinned to a release without workers would keep the next one from its start.
    ...workerVersioning(config, 'AUTO_UPGRADE'),
  });
  metrics.observeTimeStamps(pool);
  const running = worker.run();
  return {
    async stampNew() {
      if (!(await someHeadWaits(pool, witness.kind))) return;
      await callWithin(client.connection, START_TIMEOUT_MS, () =>
        client.workflow.start(STAMP_HEADS_WORKFLOW_TYPE, {
          workflowId: `seal-time-stamps:${config.TEMPORAL_TASK_QUEUE}`,
          taskQueue,
          args: [{ retry: options.retry ?? RETRY } satisfies StampOrder],
          workflowIdConflictPolicy: 'USE_EXISTING',
          staticSummary: 'Time stamps of heads of the seal',
        }),
      );
    },
    ended: running,
    async close() {
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await running.catch(() => undefined);
    },
  };
}

/** The library that reads tokens is loaded by those who need it. */
async function openWitness(config: WorkerConfig, logger: Logger): Promise<HeadWitness | undefined> {
  const { SEAL_TIMESTAMP_URL: url, SEAL_TIMESTAMP_CA: ca, SEAL_TIMESTAMP_TIMEOUT_MS: timeoutMs } = config;
  if (url === undefined) return undefined;
  if (ca === undefined) {
    logger.warn('Whoever answers at SEAL_TIMESTAMP_URL is believed: SEAL_TIMESTAMP_CA is not set (docs/audit.md)');
  }
  const { timeStampAuthority } = await import('../../activities/seal/time-stamp-authority.ts');
  return timeStampAuthority({ url, ca, timeoutMs });
}
