import { NOT_TRUSTED, StorageError } from './database.ts';
import { NoTurn } from './shares.ts';

/**
 * What an error of an attempt means. This is the only mapping from SQLSTATE and constraint name to a reaction:
 * - `transient`: retried with backoff. `mayHaveCommitted`: the connection was lost at COMMIT, so only the row shows whether
 *   the transaction committed.
 * - `constraint`: a constraint was violated, which the operation may map to one of its rejections.
 * - `bug`: a retry cannot help; the run fails.
 */
export type Failure =
  | { readonly kind: 'transient'; readonly mayHaveCommitted: boolean }
  | { readonly kind: 'constraint'; readonly constraint: string }
  | { readonly kind: 'bug' };

/** SQLSTATE classes and codes (PostgreSQL, appendix A) of temporary conditions. */
const TRANSIENT_CLASSES = new Set([
  '08', // connection exception
  '40', // transaction rollback: serialization failure, deadlock
  '53', // insufficient resources: connections, memory, disk
  '58', // system error outside PostgreSQL
]);
/** The lock timeout. */
const LOCK_NOT_AVAILABLE = '55P03';
const TRANSIENT_CODES = new Set([
  '25006', // read-only transaction: a standby, or a failover in progress
  '25P03', // idle-in-transaction timeout
  '25P04', // transaction timeout
  LOCK_NOT_AVAILABLE,
  '57014', // query cancelled: the statement timeout
  '57P01', // admin shutdown
  '57P02', // crash shutdown
  '57P03', // cannot connect now: starting up, shutting down, in recovery
  '57P05', // idle session timeout
]);
/** With these at COMMIT the transaction may have committed: the connection was lost before the answer arrived. */
const UNKNOWN_AT_COMMIT_CODES = new Set(['40003', '57P01', '57P02']);
const INTEGRITY_CLASS = '23';

export function classify(error: unknown): Failure {
  if (error instanceof TransientFailure) return { kind: 'transient', mayHaveCommitted: error.mayHaveCommitted };
  if (!(error instanceof StorageError)) return { kind: 'bug' };
  const { sqlState, constraint, phase, connectionLost } = error;
  const sqlClass = sqlState.slice(0, 2);
  // Whatever the server says last. After a PANIC because its disk is full, its recovery may still find the COMMIT.
  if (phase === 'commit' && (connectionLost || sqlClass === '08' || UNKNOWN_AT_COMMIT_CODES.has(sqlState))) {
    return { kind: 'transient', mayHaveCommitted: true };
  }
  if (TRANSIENT_CLASSES.has(sqlClass) || TRANSIENT_CODES.has(sqlState)) {
    return { kind: 'transient', mayHaveCommitted: false };
  }
  if (sqlClass === INTEGRITY_CLASS && constraint !== undefined) return { kind: 'constraint', constraint };
  return { kind: 'bug' };
}

/** True when this constraint, or a trigger in its name, refused the statement. */
export function violates(error: unknown, constraint: string): boolean {
  const failure = classify(error);
  return failure.kind === 'constraint' && failure.constraint === constraint;
}

/** True for an error that a request answers with 503 `storage_unavailable`. */
export function isStorageUnavailable(error: unknown): boolean {
  return classify(error).kind === 'transient';
}

/** True when the lock timeout ended a wait: another transaction still holds what this one needs. */
export function isLockTimeout(error: unknown): error is StorageError {
  return error instanceof StorageError && error.sqlState === LOCK_NOT_AVAILABLE;
}

/** True when the database refused a claim because it is not the one that the process knows, or is not verified. */
export function isNotTrusted(error: unknown): boolean {
  const reason = error instanceof TransientFailure ? error.cause : error;
  return reason instanceof StorageError && reason.sqlState === NOT_TRUSTED;
}

/** True when the transaction's turn did not come in time, or too many wait already: it did not begin. */
export function isNoTurn(error: unknown): boolean {
  return error instanceof StorageError && error.cause instanceof NoTurn;
}

/** The attempt may be retried; see {@link Failure}. */
export class TransientFailure extends Error {
  readonly mayHaveCommitted: boolean;

  constructor(message: string, options: { mayHaveCommitted: boolean; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.name = 'TransientFailure';
    this.mayHaveCommitted = options.mayHaveCommitted;
  }
}
