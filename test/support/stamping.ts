import { NativeConnection } from '@temporalio/worker';
import type { Logger } from 'pino';
import { openDatabase, type Pool } from '../../activities/database.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { loadWorkflowBundle } from '../../worker/bundle.ts';
import { createClient } from '../../worker/client.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { createMetrics, type Metrics } from '../../worker/metrics.ts';
import { type Stamping, startStamping } from '../../worker/seal/start-stamping.ts';
import type { System } from './system.ts';

/** Some milliseconds between attempts. */
const QUICK_RETRY = { firstMs: 20, mostMs: 100 };

/** The worker that has heads time-stamped, as the worker process runs it. */
export async function startStampingOf(
  system: System,
  { environment, pool, logger }: { environment: Readonly<Record<string, string>>; pool: Pool; logger: Logger },
): Promise<Stamping & { readonly metrics: Metrics }> {
  const config = readWorkerConfig({ ...system.environment, ...environment });
  const connection = await NativeConnection.connect({ address: config.TEMPORAL_ADDRESS });
  const database = openDatabase({
    connectionString: config.DATABASE_URL,
    ...{ writePoolMax: 1, readPoolMax: 1, statementTimeoutMs: 10_000, applicationName: 'test-stamping' },
  });
  const metrics = createMetrics({ database, operations: OPERATIONS });
  const stamping = await startStamping({
    ...{ config, connection, pool, metrics, logger },
    workflowBundle: await loadWorkflowBundle(config),
    client: createClient(connection, config),
    retry: QUICK_RETRY,
  });
  if (stamping === undefined) throw new Error('There is no authority');
  const close = async () => {
    await stamping.close();
    await connection.close();
    await database.close();
  };
  let closed: Promise<void> | undefined;
  return { ...stamping, metrics, close: () => (closed ??= close()) };
}
