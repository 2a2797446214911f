import type { NativeConnection } from '@temporalio/worker';
import type { Logger } from 'pino';
import { type Database, openPool } from '../../activities/database.ts';
import { type Operation, summaryOf } from '../../activities/operation.ts';
import { createClient } from '../client.ts';
import type { WorkerConfig } from '../config.ts';
import type { ProcessFence } from '../fence.ts';
import type { Metrics } from '../metrics.ts';
import { notPinned } from '../versioning.ts';
import { keepApprovals } from './keep-approvals.ts';

/** Looks after the writes that wait for their approval, with a connection of its own. Returns what ends it. */
export function startApprovals(options: {
  readonly config: WorkerConfig;
  readonly connection: NativeConnection;
  readonly database: Database;
  readonly operations: readonly Operation[];
  readonly fence: ProcessFence;
  readonly metrics: Metrics;
  readonly logger: Logger;
}): () => Promise<void> {
  const { config, connection, database, operations, fence, metrics, logger } = options;
  const relay = openPool({
    connectionString: config.RELAY_DATABASE_URL ?? config.DATABASE_URL,
    max: 1,
    statementTimeoutMs: config.STATEMENT_TIMEOUT_MS,
    applicationName: 'accubooks-approvals',
  });
  const stopping = new AbortController();
  const keeping = keepApprovals({
    client: createClient(connection, config, { logger, metrics }),
    taskQueue: config.TEMPORAL_TASK_QUEUE,
    ...notPinned(config),
    fence,
    summarize: (args) => summaryOf(operations, args),
    relay,
    reads: database.reads,
    logger,
    signal: stopping.signal,
  });
  return async () => {
    stopping.abort();
    await keeping;
    await relay.close();
  };
}
