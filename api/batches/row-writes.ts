import type { BatchRow } from '../../activities/batches/batch-row.ts';
import { submissionOfRow } from '../../activities/batches/identity.ts';
import type { Tx } from '../../activities/database.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';

/** The write of a key, without its answer. */
export type Known = Pick<WriteRow, 'idempotency_key' | 'submission_id' | 'operation' | 'outcome' | 'status_code'> & {
  /** Of its answer. */
  readonly bytes: number;
};

/** Whether the batch itself has made the write, for this row. */
export function isOfRow(write: Known, batch: BatchRow, row: number): boolean {
  return write.submission_id === submissionOfRow(batch.id, row);
}

/** Of these keys, those that have a write. */
export async function writesOf(tx: Tx, keys: readonly string[]): Promise<ReadonlyMap<string, Known>> {
  if (keys.length === 0) return new Map();
  const found = await tx.query<Known>(
    `SELECT idempotency_key, submission_id, operation, outcome, status_code, octet_length(response_body) AS bytes
     FROM idempotent_writes WHERE company_id = current_company() AND idempotency_key = ANY ($1)`,
    [keys],
  );
  return new Map(found.map((row) => [row.idempotency_key, row]));
}

/** Their answers, by key. */
export async function bodiesOf(tx: Tx, writes: readonly Known[]): Promise<ReadonlyMap<string, Buffer>> {
  if (writes.length === 0) return new Map();
  const found = await tx.query<Pick<WriteRow, 'idempotency_key' | 'response_body'>>(
    `SELECT idempotency_key, response_body FROM idempotent_writes
     WHERE company_id = current_company() AND idempotency_key = ANY ($1)`,
    [writes.map(({ idempotency_key: key }) => key)],
  );
  return new Map(found.map((row) => [row.idempotency_key, row.response_body]));
}
