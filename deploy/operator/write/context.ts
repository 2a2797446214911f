import { Client } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { type Database, openDatabase, type Tx, transaction } from '../../../activities/database.ts';
import { id } from '../../../activities/fields.ts';
import { withTimeout } from '../../../api/http/timeouts.ts';
import type { TemporalUi } from '../../../api/writes/resource.ts';
import { ownerDatabaseUrl, type TemporalTarget, temporalTarget, temporalUiUrl } from '../../cli/config.ts';
import { connectTarget } from '../setup-temporal.ts';

/** Where writes are looked at: the record, and Temporal unless it is away. */
export type Place = {
  readonly database: Database;
  readonly temporal: Client | { readonly away: string };
  readonly taskQueue: string;
  readonly ui: TemporalUi;
};

export type Company = { readonly id: string; readonly name: string };

const STATEMENT_TIMEOUT_MS = 10_000;
const CONNECTIONS = 2;
const CONNECT_LIMIT_MS = 5_000;

export async function withPlace<T>(work: (place: Place) => Promise<T>): Promise<T> {
  const database = openDatabase({
    connectionString: ownerDatabaseUrl(),
    writePoolMax: 1,
    readPoolMax: CONNECTIONS,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    applicationName: 'accubooks-operator',
  });
  const target = temporalTarget();
  const connection = await connectInTime(target);
  const namespace = target.TEMPORAL_NAMESPACE;
  try {
    return await work({
      database,
      temporal: 'away' in connection ? connection : new Client({ connection, namespace }),
      taskQueue: target.TEMPORAL_TASK_QUEUE,
      ui: { url: temporalUiUrl(), namespace },
    });
  } finally {
    await database.close();
    if (!('away' in connection)) await connection.close();
  }
}

/** A server that is frozen would keep the look waiting for most of a minute, and the row can be shown without it. */
async function connectInTime(target: TemporalTarget): Promise<NativeConnection | { readonly away: string }> {
  const connecting = connectTarget(target).catch((error: Error) => ({ away: error.message }));
  return (
    (await withTimeout(connecting, CONNECT_LIMIT_MS)) ?? {
      away: `Temporal at ${target.TEMPORAL_ADDRESS} does not answer.`,
    }
  );
}

/** One snapshot, as the application in that company sees it: no operator sees more of a write than there is to see. */
export function asCompany<T>(database: Database, companyId: string, work: (tx: Tx) => Promise<T>): Promise<T> {
  return transaction(database.reads, async (tx) => {
    await tx.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
    await tx.query('SELECT enter_company($1)', [companyId]);
    return work(tx);
  });
}

/** By its ID or its name. Throws when there is none, or when the name is that of several. */
export async function findCompany({ database }: Place, idOrName: string): Promise<Company> {
  const found = id().safeParse(idOrName).success
    ? await asCompany(database, idOrName, (tx) =>
        tx.query<Company>('SELECT id, name FROM companies WHERE id = current_company()'),
      )
    : await findByName(database, idOrName);
  const [company, ...others] = found;
  if (company === undefined) throw new Error(`There is no company ${idOrName}.`);
  if (others.length === 0) return company;
  throw new Error(
    `Several companies are called ${idOrName}; say which:\n${found.map((one) => `  --company ${one.id}`).join('\n')}`,
  );
}

/** Only the auditor reads names across companies. */
function findByName(database: Database, name: string): Promise<Company[]> {
  return transaction(database.reads, async (tx) => {
    await tx.query("SELECT set_config('role', 'accubooks_auditor', true)");
    return tx.query<Company>('SELECT id, name FROM companies WHERE name = $1 ORDER BY id LIMIT 20', [name]);
  });
}
