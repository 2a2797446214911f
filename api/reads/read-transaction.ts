import { type Database, type Tx, transaction } from '../../activities/database.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import type { Caller } from '../http/auth.ts';
import { withStorageTimeout } from '../http/storage-timeout.ts';
import { lookUpIn } from '../submit/lookup.ts';
import type { Reader } from './read.ts';

export type ReadRequest = {
  readonly database: Database;
  readonly caller: Caller;
  /** Asks for the row of that write in the same round trip as for the caller's roles. */
  readonly key?: string;
  /** A read that takes longer is answered 503: the database is frozen, or too much was asked of it. */
  readonly limitMs: number;
};

/**
 * Runs a read as the caller, in one transaction with one snapshot: an invoice agrees with its payments, a balance with
 * its total. Throws `not_a_member`, and `storage_unavailable` when the database does not answer in time.
 */
export async function inReadTransaction<T>(
  { database, caller, key, limitMs }: ReadRequest,
  work: (tx: Tx, reader: Reader, row: WriteRow | undefined) => Promise<T>,
): Promise<T> {
  const reading = transaction(database.reads, async (tx) => {
    await tx.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
    // The server ends a statement that nobody waits for any more.
    await tx.query("SELECT set_config('statement_timeout', $1, true)", [String(limitMs)]);
    const { userId, roles, row } = await lookUpIn(tx, caller, key);
    return work(tx, { companyId: caller.companyId, userId, roles }, row);
  });
  return withStorageTimeout(reading, limitMs);
}
