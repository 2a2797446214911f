import { type Tx, transaction } from '../../activities/database.ts';
import { isLockTimeout, isNoTurn, isNotTrusted } from '../../activities/failures.ts';
import { withTimeout } from '../../worker/timeouts.ts';
import type { ApiContext } from '../context.ts';
import { ApiProblem } from '../http/problems.ts';
import { withStorageTimeout } from '../http/storage-timeout.ts';
import { notVerified } from '../submit/verified.ts';

/** It waits for the write's running transaction to end, and PATIENCE_MS bounds that wait. */
const LIMIT_MS = 7_000;
/** Of that, for all of it once it has met a lock: a write in its transaction is no silent database. */
const PATIENCE_MS = 6_000;

/**
 * A transaction that settles a key without being its write: a cancel, or a decision about its approval. The write's own
 * transaction may hold the key. Throws `idempotency_in_progress` when that takes too long, `storage_unavailable` when the database
 * does not answer or is not verified.
 */
export async function keyTransaction<T>(
  context: Pick<ApiContext, 'database' | 'fence'>,
  settling: Settling<T>,
): Promise<T> {
  const done = await withStorageTimeout(inTurns(context, settling), LIMIT_MS);
  if (done !== undefined) return done.value;
  throw new ApiProblem('idempotency_in_progress', {
    detail: `The write's transaction is still running. Send the ${settling.action} again.`,
    idempotencyKey: settling.key,
  });
}

type Settling<T> = {
  readonly companyId: string;
  readonly key: string;
  /** What the client is to send again. */
  readonly action: string;
  work(tx: Tx): Promise<T>;
  /** Called after the COMMIT, also when the client has been answered that it is not over. */
  onCommitted(done: T): void;
};

async function inTurns<T>(
  { database, fence }: Pick<ApiContext, 'database' | 'fence'>,
  { companyId, work, onCommitted }: Settling<T>,
): Promise<{ readonly value: T } | undefined> {
  const inTurn = async (patience: 'brief' | 'patient') => {
    const value = await transaction(database.writes, work, { companyId, patience });
    onCommitted(value);
    return { value };
  };
  const sinceMs = performance.now();
  try {
    return await inTurn('brief');
  } catch (error) {
    if (isNotTrusted(error)) {
      fence.notice();
      throw notVerified();
    }
    if (!isLockTimeout(error)) throw error;
  }
  // As the writes for which they wait, these of a company hold only its share of the connections.
  const leftMs = sinceMs + PATIENCE_MS - performance.now();
  return withTimeout(inTurn('patient'), leftMs).catch((error: unknown) => {
    if (isLockTimeout(error) || isNoTurn(error)) return undefined;
    throw error;
  });
}
