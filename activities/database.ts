import pg from 'pg';
import { createShares, NoTurn, type Shares, type Turn } from './shares.ts';

/**
 * The connections of a process. Writes and reads have separate pools, so that queued transactions cannot delay a replay.
 */
export type Database = { readonly writes: Pool; readonly reads: Pool; close(): Promise<void> };

/**
 * Connections of one login, and the limits of what runs on them. Nothing that a transaction relies on is session state: each
 * sets its role and company for itself.
 */
export type Pool = {
  readonly connections: pg.Pool;
  readonly statementTimeoutMs: number;
  readonly lockTimeoutMs: number;
  /** The server ends a transaction whose process sends nothing for so long, and with it the locks. */
  readonly idleTimeoutMs: number;
  readonly shares: Shares;
  /** Called with the duration of each wait, in ms, when it gets a connection: the wait for its turn included. Set by whoever measures. */
  onConnectionWait: (waitedMs: number) => void;
  /** Runs a brief transaction that has its turn, at once unless whoever has set it lets it wait. */
  pace: <T>(work: () => Promise<T>) => Promise<T>;
  close(): Promise<void>;
};

/** One open transaction. It has one connection and must never acquire a second. */
export type Tx = {
  /**
   * Runs one statement as a prepared one; `text` must be constant, all data goes into `values`. Statements that are sent
   * without awaiting the one before share its round trip; COMMIT does the same with those that are not awaited at all.
   */
  query<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>;
};

export type PoolOptions = {
  readonly connectionString: string;
  readonly max: number;
  readonly statementTimeoutMs: number;
  readonly applicationName: string;
};

export type DatabaseOptions = Omit<PoolOptions, 'max'> & {
  readonly writePoolMax: number;
  readonly readPoolMax: number;
};

export function openDatabase({ writePoolMax, readPoolMax, ...shared }: DatabaseOptions): Database {
  const writes = openPool({ ...shared, max: writePoolMax });
  const reads = openPool({ ...shared, max: readPoolMax });
  return { writes, reads, close: async () => void (await Promise.all([writes.close(), reads.close()])) };
}

/** Shorter than the statement timeout, so that waiting for a lock fails differently from a slow statement. */
const LOCK_TIMEOUT_SHARE = 0.5;
/** A process that is frozen, or cut off from the network, keeps its locks no longer than this. */
const MAX_IDLE_MS = 10_000;
/**
 * How soon the server notices that the peer of a session is gone, as with its machine or the network: after 10 s without an
 * acknowledgement of what it sends, and after 25 s of silence. By default that takes a quarter of an hour, and two hours. On a
 * Unix socket, where both ends have one kernel, PostgreSQL ignores these settings. A transaction pooler may hand them on to
 * other sessions, for which they are right as well.
 */
const NOTICE_LOST_PEER =
  `SET tcp_user_timeout = ${MAX_IDLE_MS}; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; ` +
  'SET tcp_keepalives_count = 3';
/** The server's own timeout comes first; this one is for a server that is frozen or unreachable. */
const CLIENT_GRACE_MS = 2_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** What meets a lock for longer than this has to be patient. */
const BRIEF_LOCK_TIMEOUT_MS = 100;

export function openPool({ connectionString, max, statementTimeoutMs, applicationName }: PoolOptions): Pool {
  const connections = new pg.Pool({
    connectionString,
    max,
    application_name: applicationName,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: statementTimeoutMs + CLIENT_GRACE_MS,
    keepAlive: true,
    types: { getTypeParser },
    // Send a statement without waiting for the result of the one before: a round trip costs more than most statements.
    pipeline: true,
  });
  // An idle connection that dies is replaced at the next use; without a listener it would end the process.
  connections.on('error', () => undefined);
  connections.on('connect', (client) => {
    // Likewise one that dies while it is in use, where the pool does not listen: its query fails, and that is enough.
    client.on('error', () => undefined);
    // Not awaited: it shares a round trip with the first statement, whose error tells as much.
    client.query(NOTICE_LOST_PEER).catch(() => undefined);
  });
  return {
    connections,
    statementTimeoutMs,
    lockTimeoutMs: Math.round(statementTimeoutMs * LOCK_TIMEOUT_SHARE),
    idleTimeoutMs: Math.min(statementTimeoutMs, MAX_IDLE_MS),
    shares: createShares(max),
    onConnectionWait: () => undefined,
    pace: (work) => work(),
    close: () => connections.end(),
  };
}

/**
 * Runs `work` in one READ COMMITTED transaction, because `INSERT … ON CONFLICT` must see the row of the concurrent attempt for
 * which it waited. With a `turn` it waits for that first, and is as patient with locks. Throws {@link StorageError} for every
 * error of the database or the connection; with `phase: 'commit'` the transaction may have committed nevertheless.
 */
export async function transaction<T>(pool: Pool, work: (tx: Tx) => Promise<T>, turn?: Turn): Promise<T> {
  if (turn === undefined) return runTransaction(pool, work, pool.lockTimeoutMs);
  const lockTimeoutMs =
    turn.patience === 'brief' ? Math.min(BRIEF_LOCK_TIMEOUT_MS, pool.lockTimeoutMs) : pool.lockTimeoutMs;
  const sinceMs = performance.now();
  try {
    return await pool.shares.run(turn, CONNECT_TIMEOUT_MS, () =>
      // Whoever waits for a lock leaves the others their turn.
      turn.patience === 'brief'
        ? pool.pace(() => runTransaction(pool, work, lockTimeoutMs, sinceMs))
        : runTransaction(pool, work, lockTimeoutMs, sinceMs),
    );
  } catch (error) {
    throw error instanceof NoTurn ? new StorageError(error, 'connect') : error;
  }
}

async function runTransaction<T>(
  pool: Pool,
  work: (tx: Tx) => Promise<T>,
  lockTimeoutMs: number,
  sinceMs = performance.now(),
): Promise<T> {
  const client = await connect(pool, sinceMs);
  let broken = false;
  try {
    const unanswered = new Set<Promise<unknown>>();
    const tx = transactionOn(client, unanswered);
    const begun = run(client, 'statement', {
      text:
        `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = ${pool.statementTimeoutMs}; ` +
        `SET LOCAL lock_timeout = ${lockTimeoutMs}; SET LOCAL idle_in_transaction_session_timeout = ${pool.idleTimeoutMs}`,
    });
    // Not awaited here, so that it shares a round trip with the first statement. BEGIN fails only if the connection does; and
    // a claim outside a transaction would be refused, because a row without an outcome cannot be committed.
    begun.catch(() => undefined);
    const result = await work(tx);
    await begun;
    const committing = commit(client);
    // Awaited after the statements before it, whose error is the real one: COMMIT only says that there was one.
    committing.catch(() => undefined);
    await answersBeforeCommit(unanswered);
    const { command } = await committing;
    // PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK and without an error.
    if (command !== 'COMMIT') throw new Error('Bug! The transaction had already failed at its COMMIT');
    return result;
  } catch (error) {
    broken = error instanceof StorageError && error.connectionLost;
    if (!broken) {
      await run(client, 'statement', { text: 'ROLLBACK' }).catch(() => {
        broken = true;
      });
      broken ||= isOfWrongServer(error);
    }
    throw error;
  } finally {
    client.release(broken);
  }
}

/**
 * A COMMIT that comes back with a warning is not proven to be durable: the wait for the synchronous standby was cancelled, and
 * a failover may take it back. Whether it stays is unknown, as after a lost connection; the next attempt finds the row and
 * waits for the standby with its own COMMIT.
 */
async function commit(client: pg.PoolClient): Promise<pg.QueryResult> {
  const warnings: string[] = [];
  const listen = ({ severity, message }: { severity?: string | undefined; message?: string | undefined }) => {
    if (severity === 'WARNING') warnings.push(message ?? '');
  };
  client.on('notice', listen);
  try {
    const result = await run(client, 'commit', { text: 'COMMIT' });
    if (warnings.length > 0)
      throw new StorageError(new Error(`COMMIT came with a warning: ${warnings.join('; ')}`), 'commit');
    return result;
  } finally {
    client.off('notice', listen);
  }
}

/** A connection that is lost now is lost with COMMIT already sent: the transaction may have been committed. */
async function answersBeforeCommit(unanswered: ReadonlySet<Promise<unknown>>): Promise<void> {
  try {
    await Promise.all(unanswered);
  } catch (error) {
    if (error instanceof StorageError && error.connectionLost) throw new StorageError(error.cause, 'commit');
    throw error;
  }
}

/** Runs one statement outside an explicit transaction. */
export async function queryOnce<Row>(pool: Pool, text: string, values: readonly unknown[] = []): Promise<Row[]> {
  const client = await connect(pool);
  let broken = false;
  try {
    return (await run(client, 'statement', prepared(text, values))).rows as Row[];
  } catch (error) {
    broken = (error instanceof StorageError && error.connectionLost) || isOfWrongServer(error);
    throw error;
  } finally {
    client.release(broken);
  }
}

/** An error of the database or of the connection to it. */
export class StorageError extends Error {
  readonly sqlState: string;
  readonly constraint: string | undefined;
  readonly phase: 'connect' | 'statement' | 'commit';
  readonly connectionLost: boolean;

  constructor(cause: unknown, phase: StorageError['phase']) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = 'StorageError';
    const fromServer = cause instanceof pg.DatabaseError;
    // An error that the server did not send is a failed connection, whatever the driver calls it.
    this.sqlState = (fromServer ? cause.code : undefined) ?? CONNECTION_FAILURE;
    this.constraint = fromServer ? cause.constraint : undefined;
    this.phase = phase;
    this.connectionLost = !fromServer || cause.severity === 'FATAL' || cause.severity === 'PANIC';
  }
}

/**
 * A standby, or a server that has not been verified (`require_trust`). The pool hands out the connection that came back last:
 * behind a pooler that mixes servers, each attempt would meet the same one again. A new connection may reach another.
 */
function isOfWrongServer(error: unknown): boolean {
  return error instanceof StorageError && WRONG_SERVER_CODES.has(error.sqlState);
}

const READ_ONLY_TRANSACTION = '25006';
/** Ours, in a transient class: see migrations/0028_incarnation.sql. */
export const NOT_TRUSTED = '58AB1';
const WRONG_SERVER_CODES = new Set([READ_ONLY_TRANSACTION, NOT_TRUSTED]);
const CONNECTION_FAILURE = '08006';
const IN_FAILED_TRANSACTION = '25P02';
const statementNames = new Map<string, string>();

async function connect({ connections, onConnectionWait }: Pool, sinceMs = performance.now()): Promise<pg.PoolClient> {
  try {
    const client = await connections.connect();
    onConnectionWait(performance.now() - sinceMs);
    return client;
  } catch (error) {
    throw new StorageError(error, 'connect');
  }
}

async function run(
  client: pg.PoolClient,
  phase: StorageError['phase'],
  query: pg.QueryConfig,
): Promise<pg.QueryResult> {
  try {
    return await client.query(query);
  } catch (error) {
    throw new StorageError(error, phase);
  }
}

function transactionOn(client: pg.PoolClient, unanswered: Set<Promise<unknown>>): Tx {
  let abortedBy: unknown;
  /** Of statements that travel together, the first error is the reason; those after it only say that there was one. */
  const reasonOf = (error: unknown) => {
    const isFollowing = error instanceof StorageError && error.sqlState === IN_FAILED_TRANSACTION;
    if (!isFollowing) abortedBy = error;
    return abortedBy ?? error;
  };
  return {
    query<Row>(text: string, values: readonly unknown[] = []) {
      const answer = run(client, 'statement', prepared(text, values)).then(
        ({ rows }) => rows as Row[],
        (error: unknown) => {
          throw reasonOf(error);
        },
      );
      unanswered.add(answer);
      const settle = () => void unanswered.delete(answer);
      answer.then(settle, settle);
      return answer;
    },
  };
}

function prepared(text: string, values: readonly unknown[]): pg.QueryConfig {
  let name = statementNames.get(text);
  if (name === undefined) {
    name = `s${statementNames.size}`;
    statementNames.set(text, name);
  }
  return { name, text, values: [...values] };
}

const INT8 = 20;
const DATE = 1082;
const TIMESTAMPTZ = 1184;

/** Amounts become bigint, dates stay text, instants become RFC 3339 in UTC; all else as the driver does it. */
function getTypeParser(oid: number, format?: 'text' | 'binary'): (value: string) => unknown {
  if (oid === INT8) return BigInt;
  if (oid === DATE) return (value) => value;
  if (oid === TIMESTAMPTZ) return (value) => new Date(value).toISOString();
  return pg.types.getTypeParser(oid, format as 'text');
}
