import { type Database, type Tx, transaction } from '../../activities/database.ts';
import type { Caller } from '../http/auth.ts';
import { withStorageTimeout } from '../http/storage-timeout.ts';
import { type LookedUp, lookUpIn, type Membership } from '../submit/lookup.ts';
import type { Reader } from './read.ts';

export type ReadRequest = {
  readonly database: Database;
  readonly caller: Caller;
  /** If given, the row of this write is read in the same round trip as the caller's roles. */
  readonly idempotencyKey?: string;
  /** Who the caller was when the request was accepted: it is read for them also if what it did has ended their membership. */
  readonly before?: Membership | undefined;
  /** A read that takes longer is answered 503: the database is frozen or overloaded. */
  readonly limitMs: number;
};

/**
 * Runs a read as the caller, in one transaction with one snapshot, so that an invoice agrees with its payments and a
 * balance with its total. Throws `not_a_member`, and `storage_unavailable` when the database does not answer in time.
 */
export async function inReadTransaction<T>(
  { database, caller, idempotencyKey, before, limitMs }: ReadRequest,
  work: (tx: Tx, reader: Reader, lookedUp: LookedUp) => Promise<T>,
): Promise<T> {
  const { companyId } = caller;
  const reading = transaction(
    database.reads,
    async (tx) => {
      await tx.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
      // The server then ends a statement for which nobody waits any more. A plan that is kept is that of the company for which
      // it was made, and may be one that is good for a few rows only.
      await tx.query(
        "SELECT set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true)",
        [String(limitMs)],
      );
      const { userId, roles, ...lookedUp } = await lookUpIn(tx, caller, idempotencyKey, before);
      return work(tx, { companyId, userId, roles }, lookedUp);
    },
    // A report may take seconds: reads leave connections to the lookups of writes, and those of a company to the others.
    { companyId, patience: 'patient' },
  );
  return withStorageTimeout(reading, limitMs);
}
