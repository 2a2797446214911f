import type { BatchRow } from '../../activities/batches/batch-row.ts';
import { checkRow } from '../../activities/batches/check-row.ts';
import { decodeRows } from '../../activities/batches/chunk-content.ts';
import type { Row } from '../../activities/batches/row.ts';
import { requestsOf, type StoredRequest } from '../../activities/batches/stored-requests.ts';
import type { Tx } from '../../activities/database.ts';
import { fingerprint } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { isSameRequest } from '../../activities/write/compare-requests.ts';
import type { Recorded } from './recorded-rows.ts';
import { isOfRow, type Known } from './row-writes.ts';

/**
 * Of rows that failed and whose key has a write by now, those whose write may be another request's: it was not made by this batch,
 * and differs from the row, or the row is no longer kept. Which rows these are.
 */
export async function foreignWrites(
  tx: Tx,
  batch: BatchRow,
  rows: readonly Recorded[],
  { known, operations }: { readonly known: ReadonlyMap<string, Known>; readonly operations: readonly Operation[] },
): Promise<ReadonlySet<number>> {
  const doubtful = rows.filter(({ row, key, outcome }) => {
    const write = outcome === 'failed' && key !== null ? known.get(key) : undefined;
    // A key that was cancelled is cancelled for each request.
    if (write === undefined || write.outcome === 'cancelled') return false;
    return !isOfRow(write, batch, row);
  });
  const foreign = new Set(doubtful.map(({ row }) => row));
  const requests = await requestsOf(
    tx,
    doubtful.flatMap(({ key }) => key ?? []),
  );
  for (const chunkFrom of new Set(doubtful.map((row) => row.chunkFrom))) {
    const content = await contentOf(tx, batch, chunkFrom);
    for (const { row, key } of doubtful.filter((one) => one.chunkFrom === chunkFrom)) {
      const [stored, sent] = [requests.get(key ?? ''), content[row - chunkFrom]];
      if (stored !== undefined && sent !== undefined && isOf(stored, sent, batch, operations)) foreign.delete(row);
    }
  }
  return foreign;
}

function isOf(stored: StoredRequest, sent: Row, batch: BatchRow, operations: readonly Operation[]): boolean {
  const operation = operations.find(({ name }) => name === batch.operation);
  const checked = checkRow(sent, { operations, operation, sha256: batch.file_sha256 ?? '' });
  const write = 'code' in checked ? checked.unlessStored : checked;
  if (write === undefined) return false;
  const { name } = write.operation;
  return isSameRequest(
    stored,
    { ...write.input, operation: name, fingerprint: fingerprint(name, write.input) },
    operations,
  );
}

/** The rows of the chunk that begins with this one; none once the upload has been removed. */
async function contentOf(tx: Tx, batch: BatchRow, firstRow: number): Promise<readonly Row[]> {
  const [chunk] = await tx.query<{ content: Buffer | null }>(
    // Its rows have failed, so that the index of faults leads to it.
    `SELECT content FROM batch_chunks
     WHERE company_id = current_company() AND batch_id = $1 AND upload_id = $2 AND first_row = $3 AND faults > 0`,
    [batch.id, batch.upload_id, firstRow],
  );
  return chunk?.content == null ? [] : decodeRows(chunk.content);
}
