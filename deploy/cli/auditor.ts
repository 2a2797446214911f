import type pg from 'pg';
import { withDatabase } from './command.ts';

/**
 * Reads with the auditor's role, in one read-only transaction. `snapshot`: all statements see the same state of the
 * database.
 */
export function asAuditor<T>(
  databaseUrl: string,
  work: (auditor: pg.Client) => Promise<T>,
  { snapshot = false } = {},
): Promise<T> {
  return withDatabase(
    databaseUrl,
    async (client) => {
      await client.query(`BEGIN ISOLATION LEVEL ${snapshot ? 'REPEATABLE READ' : 'READ COMMITTED'} READ ONLY`);
      await becomeAuditor(client);
      return work(client);
    },
    'accubooks-auditor',
  );
}

/** Until the end of the transaction. This role sees all companies; the owner of a provided database may lack BYPASSRLS. */
export async function becomeAuditor(tx: { query(text: string): Promise<unknown> }): Promise<void> {
  await tx.query("SELECT set_config('role', 'accubooks_auditor', true)");
}
