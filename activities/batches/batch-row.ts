/** The row of a batch, as the SQL functions of batches return it. */
export type BatchRow = {
  readonly company_id: string;
  readonly id: string;
  readonly batch_key: string;
  readonly state: BatchState;
  readonly operation: string | null;
  readonly operations: readonly string[] | null;
  /** Of the schema of each of these, in the release that took the file. */
  readonly schema_versions: readonly number[] | null;
  readonly upload_id: string | null;
  readonly file_sha256: string | null;
  readonly row_count: number | null;
  readonly chunk_count: number | null;
  readonly user_id: string;
  readonly request_id: string;
  readonly succeeded: number;
  readonly replayed: number;
  readonly rejected: number;
  readonly mismatched: number;
  readonly refused: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly pending_approval: number;
  readonly created_at: string;
  readonly queued_at: string | null;
  readonly started_at: string | null;
  readonly completed_at: string | null;
  readonly rate_since: string | null;
  readonly rate_rows: number;
  readonly rate: number | null;
};

/**
 * The columns of a {@link BatchRow}, of a row of the table or of what one of the SQL functions returns. Each by its name: a prepared
 * statement that asks for all of them fails as soon as the next release has added one.
 */
export function batchColumns(of: string): string {
  return `${COLUMNS.map((column) => `${of}.${column}`).join(', ')}, waiting_rows(${of}.company_id, ${of}.id) AS pending_approval`;
}

const COLUMNS = [
  ...(['company_id', 'id', 'batch_key', 'state', 'operation', 'operations', 'schema_versions', 'upload_id'] as const),
  ...([
    'file_sha256',
    'row_count',
    'chunk_count',
    'user_id',
    'request_id',
    'succeeded',
    'replayed',
    'rejected',
  ] as const),
  ...([
    'mismatched',
    'refused',
    'failed',
    'cancelled',
    'created_at',
    'queued_at',
    'started_at',
    'completed_at',
  ] as const),
  ...(['rate_since', 'rate_rows', 'rate'] as const),
] satisfies readonly (keyof BatchRow)[];

export const BATCH_STATES = ['receiving', 'queued', 'running', 'paused', 'cancelled', 'completed'] as const;
export type BatchState = (typeof BATCH_STATES)[number];

/** A chunk, with the upload's bytes. */
export type ChunkRow = {
  readonly chunk: number;
  readonly upload_id: string;
  readonly first_row: number;
  readonly row_count: number;
  /** Null once the upload has been removed. */
  readonly content: Buffer | null;
  readonly outcomes: string;
  /** Of the attempt that may record what becomes of it. */
  readonly claim: string;
};

/** What has become of a row, as `batch_chunks.outcomes` has it: one character a row. */
export const ROW_OUTCOMES = {
  pending: '.',
  succeeded: 's',
  replayed: 'r',
  rejected: 'j',
  mismatched: 'm',
  refused: 'u',
  failed: 'f',
  cancelled: 'c',
  /** Its write waits for its approval, with which this changes. */
  pending_approval: 'a',
} as const;
export type RowOutcome = keyof typeof ROW_OUTCOMES;

const BY_CHARACTER = new Map(Object.entries(ROW_OUTCOMES).map(([name, character]) => [character, name as RowOutcome]));

export function outcomeOfCharacter(character: string): RowOutcome {
  const outcome = BY_CHARACTER.get(character as (typeof ROW_OUTCOMES)[RowOutcome]);
  if (outcome === undefined) throw new Error(`Bug! There is no outcome ${character}`);
  return outcome;
}

/** Of a row that has stored no answer: what the API makes a problem of. */
export type RowProblem = {
  readonly code: string;
  readonly detail: string;
  readonly errors?: readonly object[];
  readonly differences?: readonly object[];
};

/** How many rows there are of each outcome, as the API names them. */
export type BatchCounts = Readonly<
  Record<Exclude<RowOutcome, 'pending_approval'>, number> & {
    /** Their writes wait for their approval: the batch is completed without them. */
    pendingApproval: number;
  }
>;

export function countsOf(batch: BatchRow): BatchCounts {
  const { succeeded, replayed, rejected, mismatched, refused, failed, cancelled, pending_approval: waiting } = batch;
  const done = succeeded + replayed + rejected + mismatched + refused + failed + cancelled + waiting;
  const pending = (batch.row_count ?? 0) - done;
  return { pending, succeeded, replayed, rejected, mismatched, refused, failed, cancelled, pendingApproval: waiting };
}

const MEASURED_AFTER_MS = 1_000;

/** Rows per second lately; null while nothing is measured. `nowMs` is a point in time of the server's clock. */
export function rateOf({ state, rate, rate_since, rate_rows }: BatchRow, nowMs: number): number | null {
  if (state !== 'running') return null;
  if (rate !== null) return rate;
  const elapsedMs = rate_since === null ? 0 : nowMs - Date.parse(rate_since);
  return elapsedMs < MEASURED_AFTER_MS ? null : (rate_rows * 1_000) / elapsedMs;
}
