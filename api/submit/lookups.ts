import { type Approval, openApproval } from '../../activities/approvals/approval.ts';
import { type Pool, queryOnce } from '../../activities/database.ts';
import { isStorageUnavailable } from '../../activities/failures.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import type { ProcessFence } from '../../worker/fence.ts';
import { withTimeout } from '../../worker/timeouts.ts';
import type { Caller } from '../http/auth.ts';
import { ApiProblem } from '../http/problems.ts';
import { type LookedUp, type Lookup, lookUp, lookUpRow, type Membership, toLookup } from './lookup.ts';

/**
 * Step 2 of the write path, and every later look for a row. At most two statements are under way at once, and lookups that
 * arrive meanwhile share the next one. So a lone lookup is sent at once, and a busy process costs the database a statement
 * per batch instead of one per request. A statement that stays without an answer makes room for the next one: its connection
 * may be dead, which shows only after the statement timeout.
 */
export type Lookups = {
  /**
   * The caller's membership and the row of the key. Throws `not_a_member`; `overloaded` when the lookup cannot be sent
   * within `limitMs`; `storage_unavailable` when the database does not answer it.
   */
  find(caller: Caller, idempotencyKey: string, limitMs: number): Promise<Lookup>;
  /**
   * The row of a write, for a caller whose membership has already been checked. Throws an error for which
   * `isStorageUnavailable` is true when there is none on a server that is not verified: it proves nothing there.
   */
  findRow(companyId: string, idempotencyKey: string): Promise<WriteRow | undefined>;
  /** The same, and without a row what waits for its approval under the key. */
  findOutcome(companyId: string, idempotencyKey: string): Promise<Pick<LookedUp, 'row' | 'approval'>>;
};

/** With more of them at once, batches would be smaller, and reads would have fewer connections. */
const STATEMENTS_AT_ONCE = 2;
const MAX_BATCH = 200;
/** Far longer than a statement takes on a database that is well. The connections of the pool limit how many stay so. */
const SILENT_AFTER_MS = 1_000;
/** The weight of the newest batch in the running mean of the time that a batch takes. */
const NEWEST_SHARE = 0.2;
const MAX_RETRY_AFTER_S = 30;

export function createLookups(reads: Pool, fence: Pick<ProcessFence, 'require'>): Lookups {
  const queue: Queued[] = [];
  let underWay = 0;
  let meanBatchMs = 0;

  function pump(): void {
    while (underWay < STATEMENTS_AT_ONCE && queue.length > 0) {
      const batch = queue.splice(0, MAX_BATCH);
      const sinceMs = performance.now();
      underWay += 1;
      for (const queued of batch) queued.isSent = true;
      void withTimeout(answerAll(reads, batch), SILENT_AFTER_MS).then(() => {
        meanBatchMs += NEWEST_SHARE * (performance.now() - sinceMs - meanBatchMs);
        underWay -= 1;
        pump();
      });
    }
  }

  function enqueue(wanted: Wanted): { readonly queued: Queued; readonly answer: Promise<Answer> } {
    const queued = { ...wanted, isSent: false } as Queued;
    const answer = new Promise<Answer>((resolve, reject) => Object.assign(queued, { resolve, reject }));
    queue.push(queued);
    pump();
    return { queued, answer };
  }

  /** How long a lookup that comes now waits until its batch is sent. */
  const expectedWaitMs = () => (Math.floor(queue.length / MAX_BATCH) * meanBatchMs) / STATEMENTS_AT_ONCE;

  function overloaded(): ApiProblem {
    const retryAfterS = Math.min(MAX_RETRY_AFTER_S, Math.ceil(expectedWaitMs() / 1_000) + 1);
    return new ApiProblem('overloaded', {
      detail:
        'Too many requests wait to be looked up. This says nothing about the outcome of the write. Send the request again ' +
        'with the same key after Retry-After.',
      headers: { 'retry-after': String(retryAfterS) },
    });
  }

  async function findOutcome(companyId: string, idempotencyKey: string) {
    const { row, approval, version } = await enqueue({ companyId, subject: undefined, idempotencyKey }).answer;
    if (row === undefined) await fence.require(version);
    return { row, approval };
  }

  return {
    async find(caller, idempotencyKey, limitMs) {
      if (expectedWaitMs() > limitMs) throw overloaded();
      const { companyId, subject } = caller;
      const { queued, answer } = enqueue({ companyId, subject, idempotencyKey });
      const found = await withTimeout(answer, limitMs).catch((error: unknown) => {
        if (isStorageUnavailable(error)) return undefined;
        throw error;
      });
      if (found !== undefined) return toLookup(caller, found.membership, found);
      const position = queue.indexOf(queued);
      if (position !== -1) queue.splice(position, 1);
      throw queued.isSent
        ? new ApiProblem('storage_unavailable', {
            detail: 'The database did not answer. Send the request again with the same key.',
          })
        : overloaded();
    },
    findOutcome,
    findRow: async (companyId, idempotencyKey) => (await findOutcome(companyId, idempotencyKey)).row,
  };
}

type Wanted = {
  readonly companyId: string;
  /** Undefined: only the row. */
  readonly subject: string | undefined;
  readonly idempotencyKey: string;
};

type Answer = LookedUp & { readonly membership: Membership | undefined };

type Queued = Wanted & {
  isSent: boolean;
  resolve(answer: Answer): void;
  reject(error: unknown): void;
};

/** Settles every lookup of the batch. */
async function answerAll(reads: Pool, batch: readonly Queued[]): Promise<void> {
  try {
    const [only] = batch;
    if (batch.length === 1 && only !== undefined) only.resolve(await answerOne(reads, only));
    else await answerBatch(reads, batch);
  } catch (error) {
    for (const { reject } of batch) reject(error);
  }
}

async function answerOne(reads: Pool, { companyId, subject, idempotencyKey }: Wanted): Promise<Answer> {
  if (subject !== undefined) return lookUp(reads, { companyId, subject }, idempotencyKey);
  return { membership: undefined, ...(await lookUpRow(reads, companyId, idempotencyKey)) };
}

async function answerBatch(reads: Pool, batch: readonly Queued[]): Promise<void> {
  const found = await queryOnce<FoundInBatch>(
    reads,
    `SELECT l.company, l.subject, l.member_id, l.member_roles, l.version, l.approval, (l.write).*
     FROM lookup_writes(p_companies => $1, p_subjects => $2, p_keys => $3) AS l`,
    [
      batch.map(({ companyId }) => companyId),
      batch.map(({ subject }) => subject ?? null),
      batch.map(({ idempotencyKey }) => idempotencyKey),
    ],
  );
  const memberships = new Map<string, Membership>();
  const rows = new Map<string, WriteRow>();
  const approvals = new Map<string, Approval>();
  let version: string | undefined;
  for (const one of found) {
    if (one.company === null) version = one.version ?? undefined;
    else if (one.approval !== null) approvals.set(`${one.company}/${one.approval.key}`, one.approval);
    else if (one.member_id === null) rows.set(`${one.company}/${one.idempotency_key}`, one);
    else memberships.set(`${one.company}/${one.subject}`, { userId: one.member_id, roles: one.member_roles ?? [] });
  }
  for (const { companyId, subject, idempotencyKey, resolve } of batch) {
    resolve({
      membership: memberships.get(`${companyId}/${subject}`),
      row: rows.get(`${companyId}/${idempotencyKey}`),
      approval: rows.has(`${companyId}/${idempotencyKey}`)
        ? undefined
        : openApproval(approvals.get(`${companyId}/${idempotencyKey}`)),
      version,
    });
  }
}

/**
 * A membership, a row, or what waits for its approval: each is there once, however many lookups of the batch ask for it. Without a company: the version
 * under which the server is verified.
 */
type FoundInBatch = {
  readonly company: string | null;
  readonly version: string | null;
  readonly subject: string | null;
  readonly member_id: string | null;
  readonly member_roles: string[] | null;
  readonly approval: Approval | null;
} & WriteRow;
