import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { openPool, type Pool, queryOnce } from '../../activities/database.ts';
import { sealPage } from '../../activities/seal/seal.ts';
import type { WorkerConfig } from '../config.ts';
import { checkDurability } from '../durability.ts';
import { checkLogin } from '../login.ts';
import type { Metrics } from '../metrics.ts';

const ROLE = 'accubooks_sealer';
/** One seals, and metrics are read beside it. */
const CONNECTIONS = 2;
/** How soon a row is sealed on an idle system; on a busy one, pages follow one another. */
const POLL_MS = 1_000;
/** While another process seals. */
const STAND_BY_MS = 5_000;
const FIRST_BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 30_000;

/**
 * Seals entries and audit rows until the end of the process. A process whose login is not a member of accubooks_sealer logs a
 * warning and seals nothing. Returns what ends it: a page in progress is finished first.
 */
export async function startSealing(options: {
  readonly config: WorkerConfig;
  readonly metrics: Metrics;
  readonly logger: Logger;
}): Promise<() => Promise<void>> {
  const { config, metrics, logger } = options;
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
    return async () => undefined;
  }
  metrics.observeSeal(pool);
  const stopping = new AbortController();
  const sealing = keepSealing({ pool, metrics, logger, signal: stopping.signal });
  return async () => {
    stopping.abort();
    await sealing;
    await pool.close();
  };
}

async function keepSealing(options: {
  readonly pool: Pool;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { pool, metrics, logger, signal } = options;
  let backoffMs = FIRST_BACKOFF_MS;
  while (!signal.aborted) {
    let waitMs = POLL_MS;
    try {
      const { state, entries, auditRows, isFull } = await sealPage(pool);
      metrics.sealedRows.inc({ log: 'journal' }, entries);
      metrics.sealedRows.inc({ log: 'audit' }, auditRows);
      backoffMs = FIRST_BACKOFF_MS;
      if (state !== 'sealed') waitMs = STAND_BY_MS;
      else if (isFull) waitMs = 0;
    } catch (error) {
      logger.warn({ err: error }, 'Rows could not be sealed; they are tried again');
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
