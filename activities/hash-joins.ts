import type { Tx } from './database.ts';

/**
 * A column of a statement that runs before those which read all books of a company: these are then planned without nested
 * loops, to the end of the transaction. Each of their joins is by hash or merge, and reads either side once.
 *
 * Statistics that do not know a company yet say that it has one row of each table. For one row each index that begins with the
 * company is as good as any other, so a nested loop may read all rows of the company for each row of the company.
 */
export const HASH_JOINS = "set_config('enable_nestloop', 'off', true)";

/** Has the statements of `work` planned so, and for the values at hand; those after it are planned as before. For a write. */
export async function withHashJoins<T>(tx: Tx, work: () => Promise<T>): Promise<T> {
  await tx.query(`SELECT ${HASH_JOINS}, set_config('plan_cache_mode', 'force_custom_plan', true)`);
  const result = await work();
  await tx.query("SELECT set_config('enable_nestloop', 'on', true), set_config('plan_cache_mode', 'auto', true)");
  return result;
}
