import {
  type BatchRow,
  outcomeOfCharacter,
  type RowOutcome,
  type RowProblem,
} from '../../activities/batches/batch-row.ts';
import { keyOfRow } from '../../activities/batches/row-key.ts';
import type { Tx } from '../../activities/database.ts';
import type { ProblemPointer } from '../../activities/problem.ts';
import { writeUrl } from '../../activities/problem.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import { ApiProblem, PROBLEMS, type ProblemCode, problemBody } from '../http/problems.ts';

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
 * Which rows: from the one after `after`, at most `limit`; or these, of the chunks that begin with these. In the order of the file.
 */
export type Range =
  | { readonly after: number; readonly limit: number }
  | { readonly rows: readonly number[]; readonly chunksFrom: readonly number[] };

/** Reads what has become of rows. The answers are those of their writes, so that they are told as they stand now. */
export async function readResults(tx: Tx, batch: BatchRow, range: Range): Promise<readonly RowResult[]> {
  const rows = (await chunksOf(tx, batch, range)).flatMap((chunk) => rowsOf(chunk, batch, isIn(range)));
  const writes = await writesOf(
    tx,
    rows.flatMap(({ key, outcome }) => (key !== null && STORED.has(outcome) ? [key] : [])),
  );
  const own = new Set(batch.operations);
  return rows.map((row) => {
    const result = toResult(row, row.key === null ? undefined : writes.get(row.key));
    const operation = row.key === null ? undefined : writes.get(row.key)?.operation;
    // A key that operators gave free may belong to another kind of write by now, which not each reader of the batch may read.
    const isOther = operation !== undefined && operation !== null && !own.has(operation);
    return isOther ? { ...result, resource: null, problem: null } : result;
  });
}

async function chunksOf(tx: Tx, batch: BatchRow, range: Range): Promise<readonly Chunk[]> {
  const ends =
    'rows' in range ? range.chunksFrom.map((row) => [row, row]) : [[range.after + 1, range.after + range.limit]];
  const found: Chunk[] = [];
  for (const [first, last] of ends) {
    found.push(
      ...(await tx.query<Chunk>('SELECT * FROM chunks_with_rows($1, $2, $3, $4, $5)', [
        batch.id,
        batch.upload_id,
        batch.chunk_count ?? 0,
        first,
        last,
      ])),
    );
  }
  return found;
}

function isIn(range: Range): (row: number) => boolean {
  if ('rows' in range) {
    const rows = new Set(range.rows);
    return (row) => rows.has(row);
  }
  return (row) => row > range.after && row <= range.after + range.limit;
}

/** The outcomes whose answer a write has. */
const STORED: ReadonlySet<RowOutcome> = new Set(['succeeded', 'replayed', 'rejected', 'cancelled']);

type Chunk = {
  readonly first_row: number;
  readonly keys: readonly (string | null)[] | null;
  readonly outcomes: string;
  readonly problems: Readonly<Record<string, RowProblem>>;
};

type Recorded = {
  readonly row: number;
  readonly key: string | null;
  readonly outcome: RowOutcome;
  readonly problem: RowProblem | undefined;
};

function rowsOf(
  { first_row: first, keys, outcomes, problems }: Chunk,
  { file_sha256: sha256 }: BatchRow,
  isWanted: (row: number) => boolean,
): Recorded[] {
  return outcomes.split('').flatMap((character, at) => {
    const row = first + at;
    if (!isWanted(row)) return [];
    const key = keys?.[at] ?? keyOfRow(sha256 ?? '', row);
    return [{ row, key, outcome: outcomeOfCharacter(character), problem: problems[at] }];
  });
}

type Answer = Pick<WriteRow, 'operation' | 'outcome' | 'status_code' | 'response_body'>;

async function writesOf(tx: Tx, keys: readonly string[]): Promise<ReadonlyMap<string, Answer>> {
  if (keys.length === 0) return new Map();
  const found = await tx.query<Answer & { idempotency_key: string }>(
    `SELECT idempotency_key, operation, outcome, status_code, response_body FROM idempotent_writes
     WHERE company_id = current_company() AND idempotency_key = ANY ($1)`,
    [keys],
  );
  return new Map(found.map((row) => [row.idempotency_key, row]));
}

function toResult({ row, key, outcome, problem }: Recorded, write: Answer | undefined): RowResult {
  if (!STORED.has(outcome)) return { row, key, outcome, ...told(problem, key) };
  // Cancelled with its batch: it has not used its key, which may be that of another write by now.
  if (outcome === 'cancelled' && write?.outcome !== 'cancelled') {
    return { row, key, outcome, status: null, resource: null, problem: null };
  }
  if (write === undefined || write.outcome === 'lost') {
    const missing = { code: 'write_record_missing', detail: 'The database has lost the record of this write.' };
    return { row, key, outcome: 'failed', ...told(missing, key) };
  }
  const body: unknown = JSON.parse(write.response_body.toString());
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
