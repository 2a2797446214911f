import { type MetricSample, samplesIn } from './metrics-text.ts';

/** Ends of writes, by which their rate is shown. */
export const OUTCOMES = ['succeeded', 'rejected', 'conflicted', 'cancelled', 'failed', 'unavailable'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** The names that the metrics have for what does not succeed. */
export const ERROR_TYPES: Readonly<Record<string, Outcome>> = {
  rejected: 'rejected',
  mismatch: 'conflicted',
  cancelled: 'cancelled',
  run_failed: 'failed',
  unavailable: 'unavailable',
};

export type Counter = Outcome | 'replayed';

export const GAUGES = [
  ...(['inFlight', 'queued', 'oldestUnfinishedSeconds', 'relayLagSeconds', 'sealLagSeconds'] as const),
  ...(['auditorSilentSeconds', 'recentFindings', 'allFindings'] as const),
] as const;
export type Gauge = (typeof GAUGES)[number];

/** The gauges of which each process counts its own: their sum is that of the system. Of the others the largest counts. */
export const SUMMED: ReadonlySet<Gauge> = new Set(['inFlight', 'queued']);

/** How many first answers took no longer than so many milliseconds, by that bound; the last bound is infinite. */
export type Buckets = ReadonlyMap<number, number>;

/** What one process counts at one moment. */
export type Reading = {
  /** A process that has started since counts from zero. */
  readonly startedAt: number | undefined;
  readonly counters: Readonly<Partial<Record<Counter, number>>>;
  readonly buckets: Buckets;
  /** One whose source does not answer has no value. */
  readonly gauges: Readonly<Partial<Record<Gauge, number>>>;
};

/** The metrics that a reading is made of. */
export const READ_METRICS: readonly string[] = [
  ...['process_start_time_seconds', 'idempotent_writes_total', 'idempotent_writes_failed_total'],
  ...['idempotent_writes_replayed_total', 'idempotent_write_duration_ms', 'write_flights', 'write_starts_queued'],
  ...['write_oldest_flight_seconds', 'write_oldest_run_seconds', 'outbox_lag_seconds', 'seal_lag_seconds'],
  ...['auditor_findings', 'auditor_silent_seconds'],
];

/** A process that counts failures at all has had none of the types that it does not name. */
const NONE_FAILED: Readonly<Partial<Record<Counter, number>>> = Object.fromEntries(
  Object.values(ERROR_TYPES).map((outcome) => [outcome, 0]),
);

const DURATION_BUCKET = 'idempotent_write_duration_ms_bucket';
const WANTED: ReadonlySet<string> = new Set([...READ_METRICS, DURATION_BUCKET]);

/** Reads a page of metrics (`/metrics`). */
export function readingOf(page: string): Reading {
  const counters: Partial<Record<Counter, number>> = page.includes('\nidempotent_writes_failed_total{')
    ? { ...NONE_FAILED }
    : {};
  const buckets = new Map<number, number>();
  const gauges: Partial<Record<Gauge, number>> = {};
  let startedAt: number | undefined;
  for (const sample of samplesIn(page, WANTED)) {
    const { name, labels, value } = sample;
    const counter = counterOf(sample);
    const gauge = gaugeOf(sample);
    if (counter !== undefined) counters[counter] = (counters[counter] ?? 0) + value;
    else if (gauge !== undefined) gauges[gauge] = Math.max(gauges[gauge] ?? 0, value);
    else if (name === 'process_start_time_seconds') startedAt = value;
    else if (name === DURATION_BUCKET && labels['answer'] === 'first') {
      const bound = labels['le'] === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels['le']);
      buckets.set(bound, (buckets.get(bound) ?? 0) + value);
    }
  }
  return { startedAt, counters, buckets, gauges };
}

function counterOf({ name, labels }: MetricSample): Counter | undefined {
  if (name === 'idempotent_writes_replayed_total') return 'replayed';
  if (name === 'idempotent_writes_total') return labels['status'] === 'new' ? 'succeeded' : undefined;
  if (name === 'idempotent_writes_failed_total') return ERROR_TYPES[labels['error_type'] ?? ''];
  return undefined;
}

const GAUGE_OF_METRIC: Readonly<Record<string, Gauge>> = {
  write_flights: 'inFlight',
  write_starts_queued: 'queued',
  write_oldest_flight_seconds: 'oldestUnfinishedSeconds',
  write_oldest_run_seconds: 'oldestUnfinishedSeconds',
  outbox_lag_seconds: 'relayLagSeconds',
  seal_lag_seconds: 'sealLagSeconds',
  auditor_silent_seconds: 'auditorSilentSeconds',
};

function gaugeOf({ name, labels }: MetricSample): Gauge | undefined {
  if (name !== 'auditor_findings') return GAUGE_OF_METRIC[name];
  if (labels['scope'] === 'recent') return 'recentFindings';
  return labels['scope'] === 'all' ? 'allFindings' : undefined;
}
