import { asApplication } from '../../activities/as-application.ts';
import type { Pool } from '../../activities/database.ts';

/** Calls a function of the verification that answers, as `done`, whether it has done what it says. */
export async function call(pool: Pool, text: string, values: readonly unknown[]): Promise<boolean> {
  const [row] = await asApplication(pool, (tx) => tx.query<{ done: boolean }>(text, values));
  return row?.done === true;
}
