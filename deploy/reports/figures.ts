import type pg from 'pg';
import { asAuditor } from '../cli/auditor.ts';
import { type BatchFigures, readBatchFigures } from './batch-figures.ts';

/** The figures of the audit log for a period; PostgreSQL computes all of them. */
export type Figures = {
  /** RFC 3339; `to` is exclusive. */
  readonly from: string;
  readonly to: string;
  /** The audit log is online from here on; null if nothing is archived. A report that begins earlier is incomplete. */
  readonly onlineFrom: string | null;
  readonly companies: number;
  readonly all: Counts;
  readonly byType: readonly (Counts & { readonly type: string })[];
  readonly byOperation: readonly (Counts & { readonly operation: string; readonly type: string })[];
  readonly failures: readonly Failure[];
  /** Writes whose record a failover or a restore has taken, by company and operation, the most first. */
  readonly lost: readonly Lost[];
  readonly batches: BatchFigures;
  /** The slowest successful writes. */
  readonly slowest: readonly Slow[];
};

export type Counts = {
  readonly total: number;
  readonly new: number;
  readonly replayed: number;
  readonly failed: number;
  /** Requests that reused a key with other content; also counted as failed. */
  readonly mismatches: number;
  /** The share of replays in all answers, in per cent, with two decimals. */
  readonly replayPct: number;
  /** Of successful writes; null if there are none. */
  readonly averageMs: number | null;
  readonly p95Ms: number | null;
  /** Of replays, measured from the request's arrival. */
  readonly replayP95Ms: number | null;
};

type Failure = {
  readonly operation: string;
  readonly type: string;
  readonly errorCode: string;
  readonly count: number;
  readonly companies: number;
};

type Lost = {
  readonly companyId: string;
  readonly operation: string;
  /** Found in the period, whatever has become of them since. */
  readonly writes: number;
  /** Of these, the keys that are still answered with the loss: neither reopened nor cancelled. */
  readonly undecided: number;
};

type Slow = {
  readonly at: string;
  readonly operation: string;
  readonly companyId: string;
  readonly key: string;
  readonly requestId: string;
  readonly durationMs: number;
};

/** RFC 3339; by default the last seven days by the database's clock. */
export type Span = { readonly from: string | null; readonly to: string | null };

const SLOWEST = 10;
const MAX_FAILURES = 200;

/** Reads with the auditor's role, which sees all companies, and in one snapshot, so that the figures are consistent. */
export function readFigures(databaseUrl: string, span: Span): Promise<Figures> {
  return asAuditor(databaseUrl, (auditor) => readAll(auditor, span), { snapshot: true });
}

async function readAll(client: pg.Client, span: Span): Promise<Figures> {
  await client.query("SELECT set_config('TimeZone', 'UTC', true)");
  const [bounds] = await rows<{ from: Date; to: Date; online_from: Date | null }>(client, BOUNDS, [span.from, span.to]);
  if (bounds === undefined) throw new Error('Bug! The period has no bounds');
  const { from, to } = bounds;
  const counts = await rows<GroupRow>(client, COUNTS, [from, to]);
  const [{ companies } = { companies: 0 }] = await rows<{ companies: number }>(client, COMPANIES, [from, to]);
  return {
    from: from.toISOString(),
    to: to.toISOString(),
    onlineFrom: bounds.online_from?.toISOString() ?? null,
    companies,
    all: toCounts(counts.find(({ level }) => level === 'all')),
    byType: counts.flatMap((row) => (row.level === 'type' ? { type: row.type ?? '', ...toCounts(row) } : [])),
    byOperation: counts.flatMap((row) =>
      row.level === 'operation' ? { operation: row.operation ?? '', type: row.type ?? '', ...toCounts(row) } : [],
    ),
    failures: await rows<Failure>(client, FAILURES, [from, to, MAX_FAILURES]),
    lost: await rows<Lost>(client, LOST, [from, to]),
    batches: await readBatchFigures(client, from, to),
    slowest: (await rows<Omit<Slow, 'at'> & { at: Date }>(client, SLOW, [from, to, SLOWEST])).map((row) => ({
      ...row,
      at: row.at.toISOString(),
    })),
  };
}

/** The bounds, and the end of the newest archived month that is not restored. */
const BOUNDS = `
SELECT coalesce($1::timestamptz, now() - interval '7 days') AS "from", coalesce($2::timestamptz, now()) AS "to",
  (SELECT max(month + interval '1 month') FROM archived_audit_months()
   WHERE restored_until IS NULL OR restored_until <= now())::timestamptz AS online_from`;

/** Counts for all writes, each type and each operation, in one pass over the rows. */
const COUNTS = `
SELECT CASE WHEN grouping(operation_name) = 0 THEN 'operation' WHEN grouping(operation_type) = 0 THEN 'type' ELSE 'all' END AS level,
  operation_name AS operation, operation_type AS type,
  count(*)::int AS total,
  (count(*) FILTER (WHERE status = 'new'))::int AS new,
  (count(*) FILTER (WHERE status = 'replayed'))::int AS replayed,
  (count(*) FILTER (WHERE status = 'failed'))::int AS failed,
  (count(*) FILTER (WHERE error_code = 'idempotency_key_reused'))::int AS mismatches,
  coalesce(round(100.0 * count(*) FILTER (WHERE status = 'replayed') / nullif(count(*), 0), 2), 0)::float8 AS replay_pct,
  avg(execution_duration_ms) FILTER (WHERE status = 'new') AS average_ms,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY execution_duration_ms) FILTER (WHERE status = 'new') AS p95_ms,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY execution_duration_ms) FILTER (WHERE status = 'replayed') AS replay_p95_ms
FROM idempotent_write_audit_log
WHERE timestamp >= $1 AND timestamp < $2
GROUP BY GROUPING SETS ((operation_name, operation_type), (operation_type), ())
ORDER BY type, total DESC, operation`;

const COMPANIES = `
SELECT count(DISTINCT company_id)::int AS companies FROM idempotent_write_audit_log
WHERE timestamp >= $1 AND timestamp < $2`;

const FAILURES = `
SELECT operation_name AS operation, operation_type AS type, coalesce(error_code, 'unknown') AS "errorCode",
  count(*)::int AS count, count(DISTINCT company_id)::int AS companies
FROM idempotent_write_audit_log
WHERE timestamp >= $1 AND timestamp < $2 AND status = 'failed'
GROUP BY 1, 2, 3 ORDER BY count(*) DESC, 1, 3 LIMIT $3`;

/** A reopening has the code of a loss, too. */
const LOST = `
SELECT company_id AS "companyId", a.operation_name AS operation, count(*)::int AS writes,
  (count(*) FILTER (WHERE w.outcome = 'lost'))::int AS undecided
FROM (
  SELECT DISTINCT company_id, operation_name, idempotency_key FROM idempotent_write_audit_log
  WHERE timestamp >= $1 AND timestamp < $2 AND error_code = 'write_record_missing'
    AND NOT metadata @> '{"action": "reopen"}'
) AS a LEFT JOIN idempotent_writes w USING (company_id, idempotency_key)
GROUP BY 1, 2 ORDER BY count(*) DESC, 1, 2`;

const SLOW = `
SELECT timestamp AS at, operation_name AS operation, company_id AS "companyId", idempotency_key AS key,
  request_id AS "requestId", execution_duration_ms AS "durationMs"
FROM idempotent_write_audit_log
WHERE timestamp >= $1 AND timestamp < $2 AND status = 'new'
ORDER BY execution_duration_ms DESC, id LIMIT $3`;

type GroupRow = {
  readonly level: 'all' | 'type' | 'operation';
  readonly operation: string | null;
  readonly type: string | null;
  readonly total: number;
  readonly new: number;
  readonly replayed: number;
  readonly failed: number;
  readonly mismatches: number;
  readonly replay_pct: number;
  readonly average_ms: number | null;
  readonly p95_ms: number | null;
  readonly replay_p95_ms: number | null;
};

function toCounts(row: GroupRow | undefined): Counts {
  if (row === undefined) throw new Error('Bug! The figures have no total');
  return {
    total: row.total,
    new: row.new,
    replayed: row.replayed,
    failed: row.failed,
    mismatches: row.mismatches,
    replayPct: row.replay_pct,
    averageMs: row.average_ms,
    p95Ms: row.p95_ms,
    replayP95Ms: row.replay_p95_ms,
  };
}

async function rows<Row>(client: pg.Client, text: string, values: readonly unknown[]): Promise<Row[]> {
  return (await client.query(text, [...values])).rows as Row[];
}
