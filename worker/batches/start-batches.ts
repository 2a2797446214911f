import type { NativeConnection, Worker, WorkflowBundle } from '@temporalio/worker';
import { openDatabase, openPool } from '../../activities/database.ts';
import { summaryOf } from '../../activities/operation.ts';
import { createWriteActivities } from '../../activities/write/activities.ts';
import { batchTaskQueue } from '../../workflows/batch-messages.ts';
import type { WriteArguments } from '../../workflows/messages.ts';
import { startRun } from '../approvals/wake-run.ts';
import { createClient } from '../client.ts';
import type { WorkerConfig } from '../config.ts';
import { createWorker } from '../create-worker.ts';
import { createGroupRuns } from '../lanes/group-runs.ts';
import { createLane } from '../lanes/lane.ts';

import { createNamedRuns } from '../verification/named-runs.ts';
import { notPinned, pinnedToOwnRelease, workerVersioning } from '../versioning.ts';
import { type WriteReports, writeDependencies } from '../write-reports.ts';
import { createBatchActivities } from './batch-activities.ts';
import { createBatchStarts } from './batch-starts.ts';
import { keepBatches } from './keeper.ts';
import { createPacer } from './pacer.ts';

/**
 * Chunks, and their groups, that this process has in hand, of all batches. Far more than it writes side by side: one whose rows
 * wait for a lock, or for their next attempt, must not keep another company's from its turn.
 */
const CHUNKS_AT_ONCE = 32;
/** How many transactions run side by side: a set of each of two chunks, and a few rows that go one by one. */
const WRITE_CONNECTIONS = 4;
const READ_CONNECTIONS = 2;
/**
 * How many rows share a transaction: a whole chunk, or, where somebody waits for writes, so few that what they have locked is soon
 * free.
 */
const LARGE_SET = 500;
const SMALL_SET = 25;
const WORKFLOW_TASK_SLOTS = 64;
const CACHED_WORKFLOWS = 100;
/** Longer than the transaction of a set. What a chunk has begun is ended by another process, or by the next. */
const SHUTDOWN_GRACE_MS = 5_000;
const SHUTDOWN_FORCE_MS = 20_000;

export type RunningBatches = {
  /** Rejects when the worker stops on an error of its own. */
  readonly ended: Promise<void>;
  /** What this process has registered under a version, for its confirmation after the database came back. */
  registeredAt(version: string): readonly number[];
  close(): Promise<void>;
};

/** Starts the worker that writes the chunks of batches, with connections and a lane of its own, and what starts batches. */
export async function startBatches(
  options: Omit<WriteReports, 'config'> & {
    readonly config: WorkerConfig;
    readonly connection: NativeConnection;
    readonly workflowBundle: WorkflowBundle;
  },
): Promise<RunningBatches> {
  const { config, connection, fence, metrics, logger } = options;
  const database = openDatabase({
    connectionString: config.DATABASE_URL,
    writePoolMax: WRITE_CONNECTIONS,
    readPoolMax: READ_CONNECTIONS,
    statementTimeoutMs: config.STATEMENT_TIMEOUT_MS,
    applicationName: 'accubooks-batches',
  });
  const pacer = createPacer(database.reads);
  database.writes.pace = pacer.pace;
  const relay = openPool({
    connectionString: config.RELAY_DATABASE_URL ?? config.DATABASE_URL,
    max: 1,
    statementTimeoutMs: config.STATEMENT_TIMEOUT_MS,
    applicationName: 'accubooks-batches',
  });
  const client = createClient(connection, config, { logger, metrics });
  const target = { taskQueue: batchTaskQueue(config.TEMPORAL_TASK_QUEUE), ...pinnedToOwnRelease(config) };
  const summarize = (args: WriteArguments) => summaryOf(options.operations, args);
  const groups = createGroupRuns(client, target, fence.process);
  const lane = createLane({ groups, fence, database, runs: createNamedRuns(client, target) });
  const reports: WriteReports = {
    ...options,
    database,
    // A file has many: a line a chunk tells of them all.
    outcomeLevel: 'debug',
    onOutcome: (args) => lane.noteRow(args),
  };
  const worker: Worker = await createWorker(options, {
    connection,
    taskQueue: target.taskQueue,
    workflowBundle: options.workflowBundle,
    activities: {
      ...createWriteActivities(writeDependencies(reports)),
      ...createBatchActivities({
        database,
        operations: options.operations,
        fence,
        lane,
        groups,
        // On the queue of writes, as any other: from there on it has nothing to do with the batch.
        startRun: (args) =>
          startRun({ client, taskQueue: config.TEMPORAL_TASK_QUEUE, ...notPinned(config), fence, summarize }, args),
        setSize: () => (pacer.isGivingWay ? SMALL_SET : LARGE_SET),
        onRows: (operation, outcome, count) =>
          metrics.batchRows.inc({ operation: operation ?? 'unknown', outcome }, count),
        onChunk(durationMs, { batchId, chunk, rows }) {
          metrics.batchChunkMs.observe(durationMs);
          logger.info({ batchId, chunk, rows, durationMs: Math.round(durationMs) }, 'A chunk of a batch is done');
        },
        onFailedChunk(error, batchId) {
          metrics.batchChunksFailed.inc();
          logger.warn({ err: error, batchId }, 'A chunk of a batch could not be written; it is tried again');
        },
      }),
    },
    maxConcurrentActivityTaskExecutions: CHUNKS_AT_ONCE,
    maxConcurrentLocalActivityExecutions: CHUNKS_AT_ONCE,
    maxConcurrentWorkflowTaskExecutions: WORKFLOW_TASK_SLOTS,
    maxCachedWorkflows: CACHED_WORKFLOWS,
    shutdownGraceTime: SHUTDOWN_GRACE_MS,
    shutdownForceTime: SHUTDOWN_FORCE_MS,
    ...workerVersioning(config, 'AUTO_UPGRADE'),
  });
  const running = worker.run();
  const stopping = new AbortController();
  const keeping = keepBatches({
    pool: relay,
    starts: createBatchStarts(client, config.TEMPORAL_TASK_QUEUE),
    logger,
    uploadsKeptMs: config.BATCH_UPLOADS_KEPT_HOURS * 3_600_000,
    signal: stopping.signal,
  });
  return {
    ended: running,
    registeredAt: lane.registeredAt,
    async close() {
      stopping.abort();
      await keeping;
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await running.catch(() => undefined);
      await lane.close();
      pacer.close();
      await relay.close();
      await database.close();
    },
  };
}
