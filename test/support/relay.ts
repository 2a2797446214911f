import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';
import { openDatabase, openPool } from '../../activities/database.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { loadWorkflowBundle } from '../../worker/bundle.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { createEventStarts, type EventStarts } from '../../worker/event-starts.ts';
import { type RunningEvents, startEvents } from '../../worker/events.ts';
import { createFence } from '../../worker/fence.ts';
import { createMetrics, type Metrics } from '../../worker/metrics.ts';
import { createOutboxRelay, type RelayCounts } from '../../worker/outbox-relay.ts';
import type { WebhookRetry } from '../../workflows/event-messages.ts';
import type { System } from './system.ts';

/** Ten milliseconds, then twenty; after that there is no hope. */
export const QUICK_RETRY: WebhookRetry = { delaysMs: [10, 20], giveUpAfterMs: 60_000 };

/** The relay and the worker of events as the worker process runs them, beside the system's API. */
export async function startRelay(
  system: System,
  retry: WebhookRetry = QUICK_RETRY,
): Promise<RunningEvents & { readonly metrics: Metrics }> {
  const config = readWorkerConfig(system.environment);
  const connection = await NativeConnection.connect({ address: config.TEMPORAL_ADDRESS });
  const database = openDatabase({
    connectionString: config.DATABASE_URL,
    writePoolMax: 1,
    readPoolMax: 2,
    statementTimeoutMs: 10_000,
    applicationName: 'test-events',
  });
  const metrics = createMetrics({ database, operations: OPERATIONS });
  const logger = pino({ level: 'silent' });
  const workflowBundle = await loadWorkflowBundle(config);
  const fence = await createFence(database.reads, logger);
  const shared = { config, connection, workflowBundle, database, fence, operations: OPERATIONS, metrics, logger };
  const events = await startEvents({ ...shared, retry });
  return {
    ...events,
    metrics,
    async close() {
      await events.close();
      fence.close();
      await connection.close();
      await database.close();
    },
  };
}

/** A relay that runs when it is told to, with starts that a test may spoil. */
export function steppedRelay(system: System): {
  readonly starts: EventStarts;
  runOnce(spoiled?: Partial<EventStarts>): Promise<RelayCounts>;
  close(): Promise<void>;
} {
  const pool = openPool({
    connectionString: system.environment['RELAY_DATABASE_URL'] as string,
    max: 2,
    statementTimeoutMs: 10_000,
    applicationName: 'test-relay',
  });
  const starts = createEventStarts(system.temporal, system.environment['TEMPORAL_TASK_QUEUE'] as string, QUICK_RETRY);
  return {
    starts,
    runOnce: (spoiled = {}) =>
      createOutboxRelay({
        pool,
        starts: { ...starts, ...spoiled },
        wakeups: { next: async () => {}, close: async () => {} },
        logger: pino({ level: 'silent' }),
        onRun: () => {},
      }).runOnce(),
    close: () => pool.close(),
  };
}
