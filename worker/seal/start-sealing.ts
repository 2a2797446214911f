import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { NativeConnection, WorkflowBundle } from '@temporalio/worker';
import type { Logger } from 'pino';
import { openPool, type Pool, queryOnce } from '../../activities/database.ts';
import { publishHeads } from '../../activities/seal/heads.ts';
import { sealPage } from '../../activities/seal/seal.ts';
import { createClient } from '../client.ts';
import type { WorkerConfig } from '../config.ts';
import { checkDurability } from '../durability.ts';
import { checkLogin } from '../login.ts';
import { requireFolder } from '../maintenance.ts';
import type { Metrics } from '../metrics.ts';
import { announceHeads } from './announce-heads.ts';
import { type Stamping, startStamping } from './start-stamping.ts';

const ROLE = 'accubooks_sealer';
/** One seals, one keeps time stamps, and metrics are read beside them. */
const CONNECTIONS = 3;
/** How soon a row is sealed on an idle system; on a busy one, pages follow one another. */
const POLL_MS = 1_000;
/** While another process seals. */
const STAND_BY_MS = 5_000;
/** Heads are due an hour after the one before. */
const PUBLISH_ALL_MS = 60_000;
const FIRST_BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 30_000;
/** In this time a head normally gets its time stamp. */
const STAMPED_WITHIN_MS = 60_000;

export type RunningSealing = {
  /** Rejects when a worker stops on an error of its own. */
  readonly ended: Promise<void>;
  /** Finishes the page in progress, then closes. */
  close(): Promise<void>;
};

/**
 * Seals entries and audit rows until the end of the process. A process whose login is not a member of accubooks_sealer logs a
 * warning and seals nothing.
 */
export async function startSealing(options: {
  readonly config: WorkerConfig;
  readonly connection: NativeConnection;
  readonly workflowBundle: WorkflowBundle;
  readonly metrics: Metrics;
  readonly logger: Logger;
}): Promise<RunningSealing> {
  const { config, connection, metrics, logger } = options;
  const pool = openPool({
    connectionString: config.SEALER_DATABASE_URL ?? config.DATABASE_URL,
    max: CONNECTIONS,
    statementTimeoutMs: config.STATEMENT_TIMEOUT_MS,
    applicationName: 'accubooks-sealer',
  });
  if (config.SEALER_DATABASE_URL !== undefined) {
    const setting = 'SEALER_DATABASE_URL';
    await checkLogin(pool, config.ALLOW_OWNER_LOGIN === '1', { setting, role: ROLE });
    // A batch that is lost after its head was published looks like one that was removed.
    await checkDurability(pool, { production: config.NODE_ENV === 'production', logger, setting });
  } else if (!(await maySeal(pool))) {
    logger.warn(`This worker does not seal the books: its login is not a member of ${ROLE} (docs/operating.md)`);
    await pool.close();
    return { ended: new Promise(() => undefined), close: async () => undefined };
  }
  if (config.SEAL_SIGNING_KEY === undefined) {
    logger.warn('No head of the seal is published: SEAL_SIGNING_KEY is not set (docs/operating.md)');
  }
  if (config.SEAL_HEADS_DIR !== undefined) await requireFolder('SEAL_HEADS_DIR', config.SEAL_HEADS_DIR);
  metrics.observeSeal(pool);
  const stopping = new AbortController();
  const client = createClient(connection, config, { logger, metrics });
  const stamping = await startStamping({ ...options, client, pool });
  const sealing = keepSealing({ config, client, pool, stamping, metrics, logger, signal: stopping.signal });
  return {
    ended: stamping?.ended ?? new Promise(() => undefined),
    async close() {
      stopping.abort();
      await Promise.all([sealing, stamping?.close()]);
      await pool.close();
    },
  };
}

async function keepSealing(options: {
  readonly config: WorkerConfig;
  readonly client: Client;
  readonly pool: Pool;
  readonly stamping: Stamping | undefined;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { config, client, pool, stamping, metrics, logger, signal } = options;
  let backoffMs = FIRST_BACKOFF_MS;
  let publishedAllAtMs = Number.NEGATIVE_INFINITY;

  /** Of the companies of which something was sealed, which may have no head yet; once a minute, of all. */
  async function publish(companyIds: readonly string[]): Promise<void> {
    const isForAll = performance.now() - publishedAllAtMs > PUBLISH_ALL_MS;
    if (config.SEAL_SIGNING_KEY === undefined || (companyIds.length === 0 && !isForAll)) return;
    const published = await publishHeads(pool, config.SEAL_SIGNING_KEY, isForAll ? {} : { companyIds });
    if (isForAll) publishedAllAtMs = performance.now();
    if (published === 0 && !isForAll) return;
    const folder = config.SEAL_HEADS_DIR;
    const waiting = stamping === undefined ? {} : { startDelayMs: STAMPED_WITHIN_MS };
    await announceHeads({ pool, client, taskQueue: config.TEMPORAL_TASK_QUEUE, folder, logger, ...waiting });
    await stamping?.stampNew();
  }

  while (!signal.aborted) {
    let waitMs = POLL_MS;
    try {
      const { state, entries, auditRows, companyIds, isFull } = await sealPage(pool);
      metrics.sealedRows.inc({ log: 'journal' }, entries);
      metrics.sealedRows.inc({ log: 'audit' }, auditRows);
      if (state === 'sealed' && !isFull) await publish(companyIds);
      backoffMs = FIRST_BACKOFF_MS;
      if (state !== 'sealed') waitMs = STAND_BY_MS;
      else if (isFull) waitMs = 0;
    } catch (error) {
      logger.warn({ err: error }, 'Rows could not be sealed, or heads not published; it is tried again');
      waitMs = backoffMs;
      backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
    }
    if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => undefined);
  }
}

async function maySeal(pool: Pool): Promise<boolean> {
  const [login] = await queryOnce<{ member: boolean }>(
    pool,
    "SELECT pg_has_role(session_user, $1, 'MEMBER') AS member",
    [ROLE],
  );
  return login?.member === true;
}
