import type { Client } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { type Database, openDatabase, transaction } from '../../../activities/database.ts';
import { id } from '../../../activities/fields.ts';
import { readAsCompany } from '../../../activities/read-as-company.ts';
import type { TemporalUi } from '../../../api/writes/resource.ts';
import { createClient } from '../../../worker/client.ts';
import { withTimeout } from '../../../worker/timeouts.ts';
import { becomeAuditor } from '../../cli/auditor.ts';
import { ownerDatabaseUrl, type TemporalTarget, temporalTarget, temporalUiUrl } from '../../cli/config.ts';
import { connectTarget } from '../setup-temporal.ts';

/** What the commands on writes need: the record of writes, and Temporal if it can be reached. */
export type OperatorContext = {
  readonly database: Database;
  readonly temporal: Client | { readonly unavailable: string };
  readonly taskQueue: string;
  readonly ui: TemporalUi;
};

export type Company = { readonly id: string; readonly name: string };

const STATEMENT_TIMEOUT_MS = 10_000;
const CONNECTIONS = 2;
const CONNECT_LIMIT_MS = 5_000;

export async function withOperatorContext<T>(work: (context: OperatorContext) => Promise<T>): Promise<T> {
  const database = openDatabase({
    connectionString: ownerDatabaseUrl(),
    writePoolMax: 1,
    readPoolMax: CONNECTIONS,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    applicationName: 'accubooks-operator',
  });
  const target = temporalTarget();
  const connection = await connectWithTimeout(target);
  const namespace = target.TEMPORAL_NAMESPACE;
  try {
    return await work({
      database,
      temporal: 'unavailable' in connection ? connection : createClient(connection, target),
      taskQueue: target.TEMPORAL_TASK_QUEUE,
      ui: { url: temporalUiUrl(), namespace },
    });
  } finally {
    await database.close();
    if (!('unavailable' in connection)) await connection.close();
  }
}

/** A frozen server would delay the command by most of a minute, and the row can be shown without Temporal. */
export async function connectWithTimeout(
  target: TemporalTarget,
): Promise<NativeConnection | { readonly unavailable: string }> {
  const connecting = connectTarget(target).catch((error: Error) => ({ unavailable: error.message }));
  return (
    (await withTimeout(connecting, CONNECT_LIMIT_MS)) ?? {
      unavailable: `Temporal at ${target.TEMPORAL_ADDRESS} does not answer.`,
    }
  );
}

/** Finds a company by ID or name. Throws if there is none, or if several have that name. */
export async function findCompany({ database }: OperatorContext, idOrName: string): Promise<Company> {
  const found = id().safeParse(idOrName).success
    ? await readAsCompany(database.reads, idOrName, (tx) =>
        tx.query<Company>('SELECT id, name FROM companies WHERE id = current_company()'),
      )
    : await findByName(database, idOrName);
  const [company, ...others] = found;
  if (company === undefined) throw new Error(`There is no company ${idOrName}.`);
  if (others.length === 0) return company;
  throw new Error(
    `Several companies are called ${idOrName}; name one by its ID:\n${found.map((one) => `  --company ${one.id}`).join('\n')}`,
  );
}

function findByName(database: Database, name: string): Promise<Company[]> {
  return transaction(database.reads, async (tx) => {
    await becomeAuditor(tx);
    return tx.query<Company>('SELECT id, name FROM companies WHERE name = $1 ORDER BY id LIMIT 20', [name]);
  });
}
