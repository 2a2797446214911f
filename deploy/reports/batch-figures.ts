import type pg from 'pg';
import { ROW_OUTCOMES, type RowOutcome } from '../../activities/batches/batch-row.ts';

/** The batches whose file was stored in the period, as they stand at the time of the report. */
export type BatchFigures = {
  readonly total: number;
  readonly completed: number;
  readonly cancelled: number;
  /** Queued, running or paused. */
  readonly unfinished: number;
  /** Of these, running or in turn, and without progress for five minutes. */
  readonly stuck: number;
  readonly rows: number;
  readonly byOutcome: Readonly<Record<RowOutcome, number>>;
  /** Of completed batches, from their first chunk to their end; null if there are none. */
  readonly rowsPerSecond: number | null;
  /** Those that have taken longest from their first chunk to their end, or until now. */
  readonly longest: readonly LongBatch[];
};

export type LongBatch = {
  readonly companyId: string;
  readonly key: string;
  readonly operation: string | null;
  readonly state: string;
  readonly rows: number;
  readonly seconds: number;
};

/** Those that the row of a batch counts; pending are the others. */
const ENDS = (Object.keys(ROW_OUTCOMES) as RowOutcome[]).filter((outcome) => outcome !== 'pending');

const LONGEST = 5;

/** `client`: of the auditor's role. */
export async function readBatchFigures(client: pg.Client, from: Date, to: Date): Promise<BatchFigures> {
  const { rows: found } = await client.query<Sums>(SUMS, [from, to]);
  const [sums] = found;
  if (sums === undefined) throw new Error('Bug! An aggregate returned no row');
  const {
    total,
    completed,
    cancelled_batches: cancelled,
    unfinished,
    stuck,
    rows,
    seconds,
    completed_rows: done,
  } = sums;
  const { rows: longest } = await client.query<LongBatch>(LONGEST_BATCHES, [from, to, LONGEST]);
  return {
    total,
    completed,
    cancelled,
    unfinished,
    stuck,
    rows,
    byOutcome: Object.fromEntries(
      [...ENDS, 'pending' as const].map((outcome) => [outcome, sums[outcome]]),
    ) as BatchFigures['byOutcome'],
    rowsPerSecond: seconds === 0 ? null : Math.round((done * 10) / seconds) / 10,
    longest,
  };
}

type Sums = Readonly<Record<RowOutcome, number>> & {
  readonly total: number;
  readonly completed: number;
  readonly cancelled_batches: number;
  readonly unfinished: number;
  readonly stuck: number;
  readonly rows: number;
  readonly completed_rows: number;
  readonly seconds: number;
};

const SUMS = `
SELECT count(*)::int AS total,
  (count(*) FILTER (WHERE state = 'completed'))::int AS completed,
  (count(*) FILTER (WHERE state = 'cancelled'))::int AS cancelled_batches,
  (count(*) FILTER (WHERE state IN ('queued', 'running', 'paused')))::int AS unfinished,
  (count(*) FILTER (WHERE (state = 'running' OR (state = 'queued' AND is_batch_next(b)))
    AND progress_at < now() - interval '5 minutes'))::int AS stuck,
  coalesce(sum(row_count), 0)::float8 AS rows,
  ${ENDS.map((outcome) => `coalesce(sum(${outcome}), 0)::float8 AS ${outcome}`).join(', ')},
  coalesce(sum(row_count - ${ENDS.join(' - ')}), 0)::float8 AS pending,
  coalesce(sum(row_count) FILTER (WHERE state = 'completed'), 0)::float8 AS completed_rows,
  coalesce(sum(extract(epoch FROM completed_at - started_at)) FILTER (WHERE state = 'completed'), 0)::float8 AS seconds
FROM batches b
CROSS JOIN LATERAL (
  SELECT coalesce((SELECT w.waiting FROM batch_waiting_rows w WHERE w.company_id = b.company_id AND w.batch_id = b.id), 0)
    AS pending_approval
) AS waiting
WHERE queued_at >= $1 AND queued_at < $2`;

const LONGEST_BATCHES = `
SELECT company_id AS "companyId", batch_key AS key, operation, state, row_count AS rows,
  round(extract(epoch FROM coalesce(completed_at, now()) - started_at), 1)::float8 AS seconds
FROM batches
WHERE queued_at >= $1 AND queued_at < $2 AND started_at IS NOT NULL
ORDER BY seconds DESC, id LIMIT $3`;
