import {
  type BatchRow,
  outcomeOfCharacter,
  type RowOutcome,
  type RowProblem,
} from '../../activities/batches/batch-row.ts';
import { keyOfRow } from '../../activities/batches/row-key.ts';
import type { Tx } from '../../activities/database.ts';

/** A row, as its chunk has recorded it. */
export type Recorded = {
  readonly row: number;
  readonly key: string | null;
  readonly outcome: RowOutcome;
  readonly problem: RowProblem | undefined;
  /** The first row of its chunk. */
  readonly chunkFrom: number;
};

export type Chunk = {
  readonly first_row: number;
  readonly keys: readonly (string | null)[] | null;
  readonly outcomes: string;
  readonly problems: Readonly<Record<string, RowProblem>>;
};

/** A page ends with the row that reaches so many bytes of answers, however few rows it has: a thousand may be hundreds of MB. */
export const MAX_PAGE_BYTES = 8 * 1024 * 1024;

/** The rows after `after`: at most `limit`, and fewer where their problems are large. */
export async function recordedRows(
  tx: Tx,
  batch: BatchRow,
  { after, limit }: { readonly after: number; readonly limit: number },
): Promise<readonly Recorded[]> {
  const rows: Recorded[] = [];
  let bytes = 0;
  // Chunk by chunk, since each may have problems of megabytes.
  while (rows.length < limit && bytes < MAX_PAGE_BYTES) {
    const next = after + rows.length + 1;
    const [chunk] = await tx.query<Chunk>('SELECT * FROM chunks_with_rows($1, $2, $3, $4, $4)', [
      batch.id,
      batch.upload_id,
      batch.chunk_count ?? 0,
      next,
    ]);
    const found =
      chunk === undefined ? [] : rowsOf(chunk, batch).filter(({ row }) => row >= next && row <= after + limit);
    if (found.length === 0) break;
    rows.push(...found);
    for (const { problem } of found) bytes += bytesOf(problem);
  }
  return rows;
}

export function rowsOf(
  { first_row: first, keys, outcomes, problems }: Chunk,
  { file_sha256: sha256 }: BatchRow,
): readonly Recorded[] {
  return outcomes.split('').map((character, at) => ({
    row: first + at,
    key: keys?.[at] ?? keyOfRow(sha256 ?? '', first + at),
    outcome: outcomeOfCharacter(character),
    problem: problems[at],
    chunkFrom: first,
  }));
}

/** Of its problem, where it has one that no write has. */
export function bytesOf(problem: RowProblem | undefined): number {
  return problem === undefined ? 0 : JSON.stringify(problem).length;
}
