import type { BatchRow, RowOutcome, RowProblem } from '../../activities/batches/batch-row.ts';
import type { Tx } from '../../activities/database.ts';
import type { Operation } from '../../activities/operation.ts';
import type { ProblemPointer } from '../../activities/problem.ts';
import { writeUrl } from '../../activities/problem.ts';
import { ApiProblem, PROBLEMS, type ProblemCode, problemBody } from '../http/problems.ts';
import { bytesOf, MAX_PAGE_BYTES, type Recorded, recordedRows } from './recorded-rows.ts';
import { bodiesOf, isOfRow, type Known, writesOf } from './row-writes.ts';
import { foreignWrites } from './written-since.ts';

/** A row of a batch, and what has become of it as it stands now. */
export type RowResult = {
  readonly row: number;
  /** Null for a row whose key cannot be read. */
  readonly key: string | null;
  readonly outcome: RowOutcome;
  /** Of the answer that the row would get alone; null where it has none. */
  readonly status: number | null;
  readonly resource: unknown;
  readonly problem: object | null;
};

/**
 * What has become of the rows after `after`, in the order of the file: at most `limit`, and fewer where their answers are large.
 * The answers are those of their writes, so that they are told as they stand now.
 */
export async function readResults(
  tx: Tx,
  batch: BatchRow,
  page: { readonly after: number; readonly limit: number },
  operations: readonly Operation[],
): Promise<readonly RowResult[]> {
  return resultsOf(tx, batch, await recordedRows(tx, batch, page), operations);
}

/** What has become of these rows; of the first of them, where their answers are large. */
export async function resultsOf(
  tx: Tx,
  batch: BatchRow,
  recorded: readonly Recorded[],
  operations: readonly Operation[],
): Promise<readonly RowResult[]> {
  const known = await writesOf(
    tx,
    recorded.flatMap(({ key, outcome }) =>
      key !== null && outcome !== 'mismatched' && outcome !== 'pending' ? [key] : [],
    ),
  );
  const rows = recorded.slice(0, rowsOfPage(recorded, known));
  const foreign = await foreignWrites(tx, batch, rows, { known, operations });
  const writeOf = ({ row, key, outcome }: Recorded) => {
    const write = key === null ? undefined : known.get(key);
    if (write === undefined || foreign.has(row)) return undefined;
    if (STORED.has(outcome) || outcome === 'failed' || outcome === 'pending_approval') return write;
    // It was recorded without a look at its key, which may have been used for the row before.
    return isOfRow(write, batch, row) || (outcome === 'cancelled' && write.outcome === 'cancelled') ? write : undefined;
  };
  const bodies = await bodiesOf(
    tx,
    rows.flatMap((row) => writeOf(row) ?? []),
  );
  const own = new Set(batch.operations);
  return rows.map((row) => {
    const write = writeOf(row);
    const result = toResult(row, write, bodies);
    // A key that operators gave free may belong to another kind of write by now, which not each reader of the batch may read.
    const isOther = write !== undefined && write.operation !== null && !own.has(write.operation);
    return isOther ? { ...result, resource: null, problem: null } : result;
  });
}

/** How many of the rows fit into a page; at least one. */
function rowsOfPage(rows: readonly Recorded[], known: ReadonlyMap<string, Known>): number {
  let bytes = 0;
  const last = rows.findIndex(({ key, problem }) => {
    bytes += bytesOf(problem) + (known.get(key ?? '')?.bytes ?? 0);
    return bytes >= MAX_PAGE_BYTES;
  });
  return last === -1 ? rows.length : last + 1;
}

/** Alone, the request would be answered that its write waits. */
const PENDING_STATUS = 202;
const AFTER_APPROVAL = {
  ...{ succeeded: 'succeeded', rejected: 'rejected', cancelled: 'cancelled', lost: 'failed' },
} as const satisfies Record<Known['outcome'], RowOutcome>;

/** The outcomes whose answer a write has. */
const STORED: ReadonlySet<RowOutcome> = new Set(['succeeded', 'replayed', 'rejected']);

/** `write`: that of the row, as far as is known. */
function toResult(recorded: Recorded, write: Known | undefined, bodies: ReadonlyMap<string, Buffer>): RowResult {
  const { row, key, outcome, problem } = recorded;
  if (outcome === 'pending_approval') {
    if (write === undefined) return { row, key, outcome, status: PENDING_STATUS, resource: null, problem: null };
    // It has got its outcome since the row of the chunk was read, which has it as well by now.
    return toResult({ ...recorded, outcome: AFTER_APPROVAL[write.outcome] }, write, bodies);
  }
  if (write === undefined && !STORED.has(outcome)) return { row, key, outcome, ...told(problem, key) };
  if (write === undefined || write.outcome === 'lost') {
    const missing = { code: 'write_record_missing', detail: 'The database has lost the record of this write.' };
    return { row, key, outcome: 'failed', ...told(missing, key) };
  }
  const body: unknown = JSON.parse(String(bodies.get(write.idempotency_key)));
  return write.outcome === 'succeeded'
    ? { row, key, outcome, status: write.status_code, resource: body, problem: null }
    : { row, key, outcome, status: write.status_code, resource: null, problem: body as object };
}

/** The problem that the row would have been answered with alone. */
function told(problem: RowProblem | undefined, key: string | null): Pick<RowResult, 'status' | 'resource' | 'problem'> {
  if (problem === undefined) return { status: null, resource: null, problem: null };
  const { code, detail, errors, differences } = problem;
  const details = {
    detail,
    ...(errors === undefined ? {} : { errors: errors as ProblemPointer[] }),
    ...(differences === undefined ? {} : { differences: differences as ProblemPointer[] }),
    ...(key === null ? {} : { idempotencyKey: key }),
  };
  const kind = PROBLEMS[code as ProblemCode];
  const body = problemBody(
    new ApiProblem(code as ProblemCode, details, kind),
    key === null ? '/api/batches' : writeUrl(key),
    undefined,
  );
  return { status: kind.status, resource: null, problem: body };
}
