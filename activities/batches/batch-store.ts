import { asApplication } from '../as-application.ts';
import type { AuditRow } from '../audit/record-rows.ts';
import { type Pool, queryOnce, transaction } from '../database.ts';
import type { WriteRow } from '../write/write-row.ts';
import { type BatchRow, batchColumns, type ChunkRow, type RowProblem } from './batch-row.ts';
import { requestsOf, type StoredRequest, waitingRequestsOf } from './stored-requests.ts';

/** What the worker reads and writes of batches. Each throws StorageError. */

export type BatchName = { readonly companyId: string; readonly batchId: string };

/** Who claims: a loop of a run of the batch's workflow, which has one activity at a time. It gets what it has claimed before. */
export type Claimer = { readonly runId: string; readonly loop: number };

export type Claimed =
  | { readonly kind: 'chunk'; readonly batch: BatchRow; readonly chunk: ChunkRow }
  | {
      readonly kind: 'blocked' | 'waiting' | 'paused' | 'cancelled' | 'completed' | 'gone';
      readonly batch: BatchRow | undefined;
    };

/** The next chunk of the batch that may be written, or why there is none. */
export async function claimChunk(
  pool: Pool,
  { companyId, batchId }: BatchName,
  { runId, loop }: Claimer,
  version: string,
): Promise<Claimed> {
  const [found] = await queryOnce<{ kind: Claimed['kind'] } & BatchRow & Record<`chunk_${keyof ChunkRow}`, unknown>>(
    pool,
    `SELECT c.kind, ${batchColumns('(c.batch)')}, (c.chunk).chunk AS chunk_chunk, (c.chunk).upload_id AS chunk_upload_id,
       (c.chunk).first_row AS chunk_first_row, (c.chunk).row_count AS chunk_row_count, (c.chunk).content AS chunk_content,
       (c.chunk).outcomes AS chunk_outcomes, (c.chunk).claim AS chunk_claim
     FROM claim_chunk(p_company => $1, p_id => $2, p_run => $3, p_loop => $4, p_version => $5) AS c`,
    [companyId, batchId, runId, loop, version],
  );
  if (found === undefined) throw new Error('Bug! A function returned no row');
  const batch = found.id === null ? undefined : found;
  if (found.kind !== 'chunk') return { kind: found.kind, batch };
  if (batch === undefined) throw new Error('Bug! A chunk without its batch');
  const chunk = {
    chunk: found.chunk_chunk,
    upload_id: found.chunk_upload_id,
    first_row: found.chunk_first_row,
    row_count: found.chunk_row_count,
    content: found.chunk_content,
    outcomes: found.chunk_outcomes,
    claim: found.chunk_claim,
  } as ChunkRow;
  return { kind: 'chunk', batch, chunk };
}

/** What is known of the write of a key; not its answer, and not its request. */
export type KnownOutcome = Pick<WriteRow, 'submission_id' | 'operation' | 'fingerprint' | 'outcome' | 'write_id'> & {
  readonly idempotency_key: string;
};

/** What is known of a key whose write waits for its approval. */
export type WaitingWrite = Pick<KnownOutcome, 'idempotency_key' | 'submission_id' | 'operation' | 'fingerprint'>;

export type KnownOfKeys = {
  /** Those that have a row. */
  readonly known: ReadonlyMap<string, KnownOutcome>;
  /** Those that wait for their approval. One that has got its outcome at this moment may be there, too. */
  readonly waiting: ReadonlyMap<string, WaitingWrite>;
  /** Of the member in whose name the rows are written; null: no member. */
  readonly roles: readonly string[] | null;
};

/** What is known of these keys. */
export async function readOutcomes(
  pool: Pool,
  companyId: string,
  userId: string,
  keys: readonly string[],
): Promise<KnownOfKeys> {
  return transaction(pool, async (tx) => {
    const [asked, found, [member]] = await Promise.all([
      // Before the rows: what gets its outcome in between is found by one of the two.
      tx.query<WaitingWrite>('SELECT * FROM approvals_of_keys($1, $2)', [companyId, keys]),
      tx.query<KnownOutcome>('SELECT * FROM outcomes_of_keys($1, $2)', [companyId, keys]),
      tx.query<{ roles: string[] }>(
        'SELECT roles FROM memberships WHERE company_id = current_company() AND user_id = $1',
        [userId],
      ),
    ]);
    return {
      known: new Map(found.map((row) => [row.idempotency_key, row])),
      waiting: new Map(asked.map((one) => [one.idempotency_key, one])),
      roles: member?.roles ?? null,
    };
  });
}

/** The stored requests of keys, to compare others with; of those that wait for their approval as well. */
export async function readRequests(
  pool: Pool,
  companyId: string,
  keys: readonly string[],
): Promise<ReadonlyMap<string, StoredRequest>> {
  if (keys.length === 0) return new Map();
  return transaction(pool, async (tx) => {
    await tx.query('SELECT enter_company($1), plan_by_key()', [companyId]);
    const [waiting, stored] = await Promise.all([waitingRequestsOf(tx, keys), requestsOf(tx, keys)]);
    return new Map([...waiting, ...stored]);
  });
}

/** What has become of rows, by position in the chunk from 0. */
export type ChunkOutcomes = {
  /** One character a row; pending where nothing is known yet. */
  readonly outcomes: string;
  readonly problems: Readonly<Record<number, RowProblem>>;
  /** Of replays and mismatches, which no transaction of a write has recorded. */
  readonly audit: Readonly<Record<number, AuditRow>>;
  /** Of rows that wait for their approval. */
  readonly approvals: Readonly<Record<number, RowApproval>>;
};

/** `audit`: of the replay that the row will be, since another request has asked for its write; null where the batch has. */
export type RowApproval = { readonly key: string; readonly audit: AuditRow | null };

/**
 * Records outcomes, once each. A row whose approval has come meanwhile stays pending. Returns how the batch stands. `version`: of the database in which the outcomes were found, since
 * one that was restored meanwhile may not have them. Throws also when another attempt has claimed the chunk since.
 */
export async function recordChunk(
  pool: Pool,
  { companyId, batchId }: BatchName,
  { upload_id: uploadId, chunk, claim }: Pick<ChunkRow, 'upload_id' | 'chunk' | 'claim'>,
  { outcomes, problems, audit, approvals }: ChunkOutcomes,
  version: string,
): Promise<BatchRow> {
  const [batch] = await queryOnce<BatchRow>(
    pool,
    `SELECT ${batchColumns('b')} FROM record_chunk(p_company => $1, p_id => $2, p_upload => $3, p_chunk => $4, p_claim => $5,
       p_outcomes => $6, p_problems => $7, p_audit => $8, p_version => $9, p_approvals => $10) AS b`,
    [
      companyId,
      batchId,
      uploadId,
      chunk,
      claim,
      outcomes,
      storableJson(problems),
      JSON.stringify(audit),
      version,
      JSON.stringify(approvals),
    ],
  );
  if (batch === undefined) throw new Error(`Another attempt has claimed chunk ${chunk} since`);
  return batch;
}

/** A problem names members as the file does; `jsonb` takes neither NUL nor half of a surrogate pair, which JSON can escape. */
function storableJson(value: unknown): string {
  return JSON.stringify(value).replace(ESCAPE, (found) => (UNSTORABLE.test(found) ? '\\ufffd' : found));
}

const ESCAPE = /\\(?:u[0-9a-f]{4}|.)/g;
const UNSTORABLE = /^\\u(?:0000|d[89a-f])/;

/** Batches whose workflow is to be started or woken. `pool`: of the relay's role. */
export function readSilentBatches(pool: Pool, limit: number) {
  return queryOnce<{ company_id: string; id: string; batch_key: string; operation: string | null }>(
    pool,
    'SELECT * FROM silent_batches($1)',
    [limit],
  );
}

/** Its workflow was started, or woken. */
export async function noteWoken(pool: Pool, { companyId, batchId }: BatchName): Promise<void> {
  await asApplication(pool, async (tx) => {
    await tx.query('SELECT enter_company($1)', [companyId]);
    await tx.query('UPDATE batches SET woken_at = clock_timestamp() WHERE company_id = $1 AND id = $2', [
      companyId,
      batchId,
    ]);
  });
}

/** Removes what is kept no longer; see `tidy_batches`. Returns how many rows that were. */
export async function tidyBatches(pool: Pool, keptMs: number, limit: number): Promise<number> {
  const [done] = await queryOnce<{ tidied: number }>(
    pool,
    'SELECT tidy_batches(make_interval(secs => $1), $2) AS tidied',
    [keptMs / 1_000, limit],
  );
  return done?.tidied ?? 0;
}
