import type { NativeConnection, WorkflowBundle } from '@temporalio/worker';
import type { Logger } from 'pino';
import { type Database, openPool } from '../activities/database.ts';
import type { Operation } from '../activities/operation.ts';
import type { Fence } from '../activities/write/fence.ts';
import type { WebhookRetry } from '../workflows/event-messages.ts';
import { createClient } from './client.ts';
import type { WorkerConfig } from './config.ts';
import { checkDurability } from './durability.ts';
import { createEventStarts } from './event-starts.ts';
import { createEventWorker } from './event-worker.ts';
import { checkLogin } from './login.ts';
import type { Metrics } from './metrics.ts';
import { readOpenRuns } from './open-runs.ts';
import { createOutboxRelay } from './outbox-relay.ts';
import { listenToOutbox } from './outbox-wakeups.ts';

/** The relay runs one statement at a time; the gauges and a few deliveries use the other connections. */
const RELAY_CONNECTIONS = 4;

export type RunningEvents = {
  /** Rejects when the worker stops on an error of its own. */
  readonly ended: Promise<void>;
  /** Finishes the work in progress, then closes. */
  close(): Promise<void>;
};

/** Starts the outbox relay and the worker for the workflows that it starts. */
export async function startEvents(options: {
  readonly config: WorkerConfig;
  readonly connection: NativeConnection;
  readonly workflowBundle: WorkflowBundle;
  readonly database: Database;
  readonly operations: readonly Operation[];
  readonly fence: Fence;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly retry?: WebhookRetry;
}): Promise<RunningEvents> {
  const { config, connection, metrics, logger } = options;
  const connectionString = config.RELAY_DATABASE_URL ?? config.DATABASE_URL;
  const relayPool = openPool({
    connectionString,
    max: RELAY_CONNECTIONS,
    statementTimeoutMs: config.STATEMENT_TIMEOUT_MS,
    applicationName: 'accubooks-relay',
  });
  await checkLogin(relayPool, config.ALLOW_OWNER_LOGIN === '1', {
    setting:
      config.RELAY_DATABASE_URL === undefined
        ? 'RELAY_DATABASE_URL is not set, and DATABASE_URL'
        : 'RELAY_DATABASE_URL',
    role: 'accubooks_relay',
  });
  if (config.RELAY_DATABASE_URL !== undefined) {
    // An event that loses its number gets another one: a reader who has seen the first would miss an event.
    const production = config.NODE_ENV === 'production';
    await checkDurability(relayPool, { production, logger, setting: 'RELAY_DATABASE_URL' });
  }
  metrics.observeRelay(relayPool);
  const { reads, writes } = options.database;
  const worker = await createEventWorker({ ...options, reads, writes, relay: relayPool });
  const running = worker.run();

  const wakeups = listenToOutbox(connectionString);
  const client = createClient(connection, config, { logger, metrics });
  metrics.observeOpenRuns(() => readOpenRuns(client, config.TEMPORAL_TASK_QUEUE));
  const relay = createOutboxRelay({
    pool: relayPool,
    starts: createEventStarts(client, config.TEMPORAL_TASK_QUEUE, options.retry),
    wakeups,
    logger,
    onRun: (counts) => {
      metrics.eventsNumbered.inc(counts.numbered);
      metrics.eventStarts.inc({ what: 'workflow' }, counts.workflowsStarted);
      metrics.eventStarts.inc({ what: 'webhooks' }, counts.batchesStarted);
      metrics.eventStartsFailed.inc(counts.failed);
    },
  });
  const stopping = new AbortController();
  const relaying = relay.run(stopping.signal);
  return {
    ended: running,
    async close() {
      stopping.abort();
      await relaying;
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await running.catch(() => undefined);
      await wakeups.close();
      await relayPool.close();
    },
  };
}
