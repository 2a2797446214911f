import {
  type BatchCounts,
  type BatchRow,
  type BatchState,
  countsOf,
  type RowOutcome,
  type RowProblem,
  rateOf,
} from '../../activities/batches/batch-row.ts';
import { batchWorkflowId } from '../../activities/batches/identity.ts';
import type { Tx } from '../../activities/database.ts';
import type { Operation } from '../../activities/operation.ts';
import type { TemporalUi } from '../writes/resource.ts';
import { workflowLink } from '../writes/resource.ts';
import { type Chunk, rowsOf } from './recorded-rows.ts';
import { type RowResult, resultsOf } from './results.ts';

/** A batch as `GET /api/batches/{key}` returns it. */
export type BatchResource = {
  readonly key: string;
  readonly id: string;
  readonly state: BatchState;
  /** Of the rows that name none; null where each row names its own. */
  readonly operation: string | null;
  /** Null until the file is stored. */
  readonly rows: number | null;
  readonly counts: BatchCounts;
  readonly rowsPerSecond: number | null;
  /** When it will be completed at this rate; RFC 3339. */
  readonly eta: string | null;
  /** The first twenty rows that are rejected, mismatched, refused or failed. */
  readonly errors: readonly BatchError[];
  readonly actor: { readonly userId: string };
  readonly requestId: string;
  /** SHA-256 of the file, in hexadecimal. */
  readonly sha256: string | null;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly completedAt: string | null;
  readonly workflow: { readonly id: string; readonly runId: string | null; readonly url: string | null };
};

export type BatchError = {
  readonly row: number;
  readonly key: string | null;
  readonly status: number | null;
  readonly code: string;
  readonly detail: string;
  readonly errors: readonly object[];
};

export function toBatch(batch: BatchRow, errors: readonly BatchError[], ui: TemporalUi): BatchResource {
  return { ...summaryOf(batch, ui), errors };
}

/** A batch as the list of batches has it. */
export function summaryOf(batch: BatchRow, ui: TemporalUi): Omit<BatchResource, 'errors'> {
  // biome-ignore lint/plugin: it is compared with, and becomes, a point in time.
  const nowMs = Date.now();
  const counts = countsOf(batch);
  const rate = rateOf(batch, nowMs);
  return {
    key: batch.batch_key,
    id: batch.id,
    state: batch.state,
    operation: batch.operation,
    rows: batch.row_count,
    counts,
    rowsPerSecond: rate === null ? null : Math.round(rate * 10) / 10,
    eta: rate === null || rate === 0 ? null : new Date(nowMs + (counts.pending * 1_000) / rate).toISOString(),
    actor: { userId: batch.user_id },
    requestId: batch.request_id,
    sha256: batch.file_sha256,
    createdAt: batch.created_at,
    startedAt: batch.started_at,
    completedAt: batch.completed_at,
    workflow: workflowLink(batchWorkflowId(batch.company_id, batch.batch_key), null, ui),
  };
}

const MAX_ERRORS = 20;

/** The first rows of a batch that came to nothing, in the order of the file. */
export async function readErrors(
  tx: Tx,
  batch: BatchRow,
  operations: readonly Operation[],
): Promise<readonly BatchError[]> {
  if (batch.upload_id === null || batch.rejected + batch.mismatched + batch.refused + batch.failed === 0) return [];
  // Not by the upload: no other of the batch has outcomes, and with it, an index of all chunks would do as well.
  const chunks = await tx.query<Chunk>(
    `SELECT first_row, keys, outcomes, problems FROM (
       SELECT chunk, first_row, keys, outcomes, problems, sum(faults) OVER (ORDER BY chunk) - faults AS before
       FROM batch_chunks WHERE company_id = current_company() AND batch_id = $1 AND faults > 0 ORDER BY chunk LIMIT $2
     ) AS c WHERE before < $2 ORDER BY chunk`,
    [batch.id, MAX_ERRORS],
  );
  const rows = chunks
    .flatMap((chunk) => rowsOf(chunk, batch).filter(({ outcome }) => FAULTS.has(outcome)))
    .slice(0, MAX_ERRORS);
  const results = await resultsOf(tx, batch, rows, operations);
  return results.map((result, at) => toError(result, rows[at]?.problem));
}

const FAULTS: ReadonlySet<RowOutcome> = new Set(['rejected', 'mismatched', 'refused', 'failed']);

function toError({ row, key, outcome, status, problem }: RowResult, recorded: RowProblem | undefined): BatchError {
  // Its write was made since.
  if ((outcome === 'failed' || outcome === 'refused') && problem === null)
    return { row, key, status, code: recorded?.code ?? '', detail: MADE_SINCE, errors: [] };
  const { code = '', detail = '', errors = [] } = (problem ?? {}) as Partial<RowProblem>;
  return { row, key, status, code, detail, errors };
}

const MADE_SINCE = 'The batch gave the row up, and its write was made since: the results have its answer.';
