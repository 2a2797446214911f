import { type Pool, type Tx, transaction } from './database.ts';

/** Runs as the application without a company, whatever role the login begins with: for what belongs to none. */
export function asApplication<T>(pool: Pool, work: (tx: Tx) => Promise<T>): Promise<T> {
  return transaction(pool, async (tx) => {
    await tx.query("SELECT set_config('role', 'accubooks_app', true)");
    return work(tx);
  });
}
