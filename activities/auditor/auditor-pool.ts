import { openPool, type Pool, transaction } from '../database.ts';
import { HASH_JOINS } from '../hash-joins.ts';
import type { Ask } from './check.ts';

/** One statement may read whole books. */
const STATEMENT_TIMEOUT_MS = 2 * 60 * 60 * 1000;

/**
 * How the statements of an audit are run: read whole tables by hash, planned for the values at hand, with memory for that, and on
 * one core each, because the caller decides how many run side by side. Any login may make these settings; they end with the
 * transaction.
 */
const SETTINGS = `SELECT set_config('transaction_read_only', 'on', true), set_config('TimeZone', 'UTC', true),
  set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true),
  set_config('work_mem', '64MB', true), set_config('max_parallel_workers_per_gather', '0', true),
  set_config('role', 'accubooks_auditor', true)`;

/** `connectionString`: of a login that is a member of accubooks_auditor. */
export function openAuditorPool(connectionString: string, parallel: number): Pool {
  return openPool({
    connectionString,
    max: parallel,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    applicationName: 'accubooks-auditor',
  });
}

/** Each statement has a transaction, and so a snapshot, of its own: none holds back VACUUM for longer than it takes. */
export function askAsAuditor(pool: Pool): Ask {
  return <Row>(sql: string, values: readonly unknown[] = [], plan: 'by index' | 'by hash' = 'by index') =>
    transaction(pool, async (tx) => {
      await tx.query(SETTINGS);
      if (plan === 'by hash') await tx.query(`SELECT ${HASH_JOINS}`);
      return tx.query<Row>(sql, values);
    });
}
