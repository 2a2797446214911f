import {
  type BatchRow,
  type BatchState,
  outcomeOfCharacter,
  type RowOutcome,
} from '../../../activities/batches/batch-row.ts';
import { rowOfKey } from '../../../activities/batches/row-key.ts';
import type { Tx } from '../../../activities/database.ts';

/** A batch of which a write is a row. */
export type BatchFacts = {
  readonly key: string;
  readonly state: BatchState;
  readonly row: number;
  /** What has become of the row; `replayed`: the batch has found the write made. */
  readonly outcome: RowOutcome;
};

/** Of each kind of candidate; the newest. */
const MAX_BATCHES = 20;

/**
 * The batches that have a row with this key, the newest first: of those whose request ID the write or one of its audit rows has,
 * since a batch shares its own with its rows, and of those that are not over.
 */
export async function readBatches(tx: Tx, key: string, requestIds: readonly string[]): Promise<BatchFacts[]> {
  const candidates = await tx.query<Candidate>(
    `(SELECT ${CANDIDATE} FROM batches WHERE company_id = current_company() AND request_id = ANY ($1) AND upload_id IS NOT NULL
      ORDER BY created_at DESC LIMIT $2)
     UNION
     (SELECT ${CANDIDATE} FROM batches WHERE company_id = current_company() AND state IN ('queued', 'running', 'paused')
      ORDER BY created_at DESC LIMIT $2)
     ORDER BY created_at DESC`,
    [requestIds, MAX_BATCHES],
  );
  const found: BatchFacts[] = [];
  for (const batch of candidates) {
    const row = (await rowOfOwnKey(tx, batch, key)) ?? rowOfKey(batch.file_sha256 ?? '', batch.row_count ?? 0, key);
    if (row !== undefined) found.push({ key: batch.batch_key, state: batch.state, ...(await readRow(tx, batch, row)) });
  }
  return found;
}

const CANDIDATE = 'id, batch_key, state, upload_id, file_sha256, row_count, created_at';

type Candidate = Pick<BatchRow, 'id' | 'batch_key' | 'state' | 'upload_id' | 'file_sha256' | 'row_count'>;

async function rowOfOwnKey(tx: Tx, { id, upload_id: uploadId }: Candidate, key: string): Promise<number | undefined> {
  const [found] = await tx.query<{ row: number }>(
    `SELECT first_row + array_position(keys, $3) - 1 AS row FROM batch_chunks
     WHERE company_id = current_company() AND batch_id = $1 AND upload_id = $2 AND $3 = ANY (keys)
     ORDER BY chunk LIMIT 1`,
    [id, uploadId, key],
  );
  return found?.row;
}

async function readRow(tx: Tx, { id, upload_id: uploadId }: Candidate, row: number) {
  const [found] = await tx.query<{ outcome: string }>(
    `SELECT substr(outcomes, $3 - first_row + 1, 1) AS outcome FROM batch_chunks
     WHERE company_id = current_company() AND batch_id = $1 AND upload_id = $2
       AND first_row <= $3 AND first_row + row_count > $3`,
    [id, uploadId, row],
  );
  if (found === undefined) throw new Error('Bug! A batch has a row that no chunk has');
  return { row, outcome: outcomeOfCharacter(found.outcome) };
}
