import pg from 'pg';
import { DAY_MS } from '../../../../activities/durations.ts';
import {
  companiesStatement,
  copyCustomers,
  copyInvoices,
  copyPayments,
  invoicesStatement,
  readOriginalBooks,
  type Size,
  tablesOf,
} from './books.ts';
import { dropIndexes } from './indexes.ts';

export type FillOptions = Size & {
  /** Of the owner. */
  readonly databaseUrl: string;
  /** A company with an invoice and a payment of it, made through the write path: they are what is copied. */
  readonly originalId: string;
  readonly signal: AbortSignal;
  readonly log: Log;
};

/** How long each part took, in seconds. */
export type Filled = { readonly rows: number; readonly indexes: number; readonly vacuum: number };

type Log = (line: string) => void;

/**
 * Fills a database with companies whose books are right: each key is a write with all that the write path leaves, with the
 * IDs, fingerprint and stored answer that it would have. No trigger runs meanwhile, and indexes and foreign keys are made
 * afterwards, which checks them. Can be called again; the earlier companies stay.
 *
 * The rows lie in the order of time, each beside those of other companies, over the last ten months.
 */
export async function fill(options: FillOptions): Promise<Filled> {
  const { signal, log } = options;
  const clients = await connect(options.databaseUrl, signal);
  const [first] = clients;
  if (first === undefined) throw new Error('Bug! Nothing is connected');
  const seconds = stopwatch();
  try {
    await first.query('CREATE EXTENSION IF NOT EXISTS "uuid-ossp"');
    const originals = await readOriginalBooks(first, options.originalId);
    // biome-ignore lint/plugin: the rows are dated.
    const since = new Date(Date.now() - SPAN_MS);
    await makeAuditMonths(first, new Date(since.getTime() - DAY_MS));

    log(`Making ${count(options.companies)} companies`);
    await first.query(companiesStatement(options));
    await first.query(invoicesStatement(originals, options));
    const dropped = await dropIndexes(first, tablesOf(originals));
    await first.query(copyCustomers(originals, new Date(since.getTime() - DAY_MS)));
    await first.query(copyInvoices(originals, new Date(since.getTime() - DAY_MS / 2)));
    const stepMs = SPAN_MS / options.keys;
    const filled = createProgress(options.keys, 'keys', log);
    await sideBySide(clients, batches(options.keys), async (client, span) => {
      await client.query(copyPayments(originals, options, { ...span, since, stepMs }));
      filled(span.to - span.from);
    });
    const rows = seconds();

    const built = createProgress(dropped.indexes.flat().length, 'indexes', log);
    await sideBySide(clients, dropped.indexes, async (client, statements) => {
      for (const statement of statements) {
        await client.query(statement);
        built(1);
      }
    });
    const checked = createProgress(dropped.foreignKeys.length, 'foreign keys', log);
    for (const statement of dropped.foreignKeys) {
      await first.query(statement);
      checked(1);
    }
    const indexes = seconds();

    log('VACUUM ANALYZE');
    await sideBySide(clients, await allTables(first), (client, table) => client.query(`VACUUM (ANALYZE) ${table}`));
    return { rows, indexes, vacuum: seconds() };
  } catch (error) {
    signal.throwIfAborted(); // The error is that of a closed connection then.
    throw error;
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

const CONNECTIONS = 2;
const SPAN_MS = 300 * DAY_MS;
const MAX_KEYS_A_BATCH = 20_000;
/** So that all connections have work to the end. */
const MIN_BATCHES = 10;
const SETTINGS = {
  // Only these sessions: no trigger and no foreign key is checked row by row.
  session_replication_role: 'replica',
  synchronous_commit: 'off',
  work_mem: '128MB',
  maintenance_work_mem: '512MB',
};

async function connect(connectionString: string, signal: AbortSignal): Promise<pg.Client[]> {
  const options = Object.entries(SETTINGS).map(([name, value]) => `-c ${name}=${value}`);
  const clients = Array.from(
    { length: CONNECTIONS },
    () => new pg.Client({ connectionString, options: options.join(' '), application_name: 'accubooks-fill' }),
  );
  for (const client of clients) {
    client.on('error', () => undefined);
    await client.connect();
    // Closes the connection under the statement that runs on it.
    signal.addEventListener('abort', () => void client.end(), { once: true });
  }
  return clients;
}

/** The audit log has partitions from the month on in which the schema was made. */
async function makeAuditMonths(owner: pg.Client, since: Date): Promise<void> {
  await owner.query(
    `SELECT make_audit_partition(month::date)
     FROM generate_series(date_trunc('month', $1::timestamptz AT TIME ZONE 'UTC'), now() AT TIME ZONE 'UTC',
       interval '1 month') AS month`,
    [since],
  );
}

/** Runs `work` for each item, on each connection one at a time. */
async function sideBySide<T>(
  clients: readonly pg.Client[],
  items: Iterable<T>,
  work: (client: pg.Client, item: T) => Promise<unknown>,
): Promise<void> {
  const rest = items[Symbol.iterator]();
  await Promise.all(
    clients.map(async (client) => {
      for (let next = rest.next(); !next.done; next = rest.next()) await work(client, next.value);
    }),
  );
}

function* batches(keys: number): Generator<{ from: number; to: number }> {
  const size = Math.min(MAX_KEYS_A_BATCH, Math.ceil(keys / MIN_BATCHES));
  for (let from = 0; from < keys; from += size) yield { from, to: Math.min(keys, from + size) };
}

/** The largest first, so that the connections finish together. */
async function allTables(owner: pg.Client): Promise<string[]> {
  const { rows } = await owner.query<{ name: string }>(
    `SELECT oid::regclass::text AS name FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
     ORDER BY relkind, pg_table_size(oid) DESC`,
  );
  return rows.map(({ name }) => name);
}

const PROGRESS_INTERVAL_MS = 5_000;

function createProgress(all: number, what: string, log: Log): (more: number) => void {
  const startedAt = performance.now();
  let done = 0;
  let loggedAt = startedAt;
  return (more) => {
    done += more;
    if (performance.now() - loggedAt < PROGRESS_INTERVAL_MS && done < all) return;
    loggedAt = performance.now();
    const perSecond = (done / (loggedAt - startedAt)) * 1_000;
    log(
      `${count(done)} of ${count(all)} ${what}, ${count(perSecond)}/s, ${count((all - done) / perSecond)} s left for them`,
    );
  };
}

/** Returns the seconds since the last call. */
function stopwatch(): () => number {
  let since = performance.now();
  return () => {
    const before = since;
    since = performance.now();
    return (since - before) / 1_000;
  };
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en');
}
