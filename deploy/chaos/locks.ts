import pg from 'pg';
import { withDatabase } from '../cli/command.ts';

/**
 * Locks invoices as their owner's own session would, until it is released. At the end of this process, however it comes, the
 * server ends the session and with it the locks.
 */
export async function lockInvoices(
  databaseUrl: string,
  invoices: readonly { readonly companyId: string; readonly invoiceId: string }[],
): Promise<{ release(): Promise<void> }> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'accubooks-chaos' });
  // The server may be the one that is being killed.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('BEGIN');
    for (const { companyId, invoiceId } of invoices) {
      await client.query("SELECT set_config('app.company_id', $1, true)", [companyId]);
      const { rowCount } = await client.query('SELECT FROM invoices WHERE company_id = $1 AND id = $2 FOR UPDATE', [
        companyId,
        invoiceId,
      ]);
      if (rowCount !== 1)
        throw new Error('The login of --database-url does not see the invoices. Use that of the owner.');
    }
  } catch (error) {
    await client.end();
    throw error;
  }
  return { release: () => client.end() };
}

/** How often the server has done so since its statistics began. */
export function countersOf(databaseUrl: string): Promise<{ deadlocks: number; rollbacks: number }> {
  return withDatabase(databaseUrl, async (client) => {
    const { rows } = await client.query<{ deadlocks: number; rollbacks: number }>(
      `SELECT deadlocks::int, xact_rollback::int AS rollbacks FROM pg_stat_database WHERE datname = current_database()`,
    );
    return rows[0] ?? { deadlocks: 0, rollbacks: 0 };
  });
}
