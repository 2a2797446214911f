import { z } from 'zod';
import { numberOf } from './metrics-text.ts';
import type { Stretch } from './rates.ts';
import { type Counter, ERROR_TYPES, GAUGES, type Gauge, OUTCOMES } from './reading.ts';
import type { NowSource } from './sampler.ts';
import { boundsOfHour, lastHourOf, nowOf, type Snapshot, STRETCH_S } from './snapshot.ts';

export type PrometheusOptions = {
  readonly url: string;
  /** The clock, in milliseconds since 1970. */
  readonly now?: () => number;
};

const ANSWER_LIMIT_MS = 5_000;
/** Prometheus scrapes every 15 seconds: to ask it more often tells nothing. */
const ASK_EVERY_MS = 10_000;
/** Four scrapes, as Prometheus recommends for a rate. */
const WINDOW = '1m';

const FIRST_ANSWERS = `sum by (le) (rate(idempotent_write_duration_ms_bucket{answer="first"}[${WINDOW}]))`;
const SUCCEEDED = `sum(rate(idempotent_writes_total{status="new"}[${WINDOW}]))`;
const FAILED = `sum by (error_type) (rate(idempotent_writes_failed_total[${WINDOW}]))`;
const REPLAYED = `sum(rate(idempotent_writes_replayed_total[${WINDOW}]))`;

/** One query a gauge, as the alerts of deploy/prometheus have them. */
const GAUGE_QUERIES: Readonly<Record<Gauge, string>> = {
  inFlight: 'sum(write_flights)',
  queued: 'sum(write_starts_queued)',
  oldestUnfinishedSeconds: 'max({__name__=~"write_oldest_(flight|run)_seconds"})',
  relayLagSeconds: 'max(outbox_lag_seconds)',
  sealLagSeconds: 'max(seal_lag_seconds)',
  auditorSilentSeconds: 'max(auditor_silent_seconds)',
  recentFindings: 'max(auditor_findings{scope="recent"})',
  allFindings: 'max(auditor_findings{scope="all"})',
};

/** Prometheus has the metrics of all processes and evaluates the alerts: asked for what is shown, and for all who look at it once. */
export function createPrometheusSource({ url, now = wallClock }: PrometheusOptions): NowSource {
  let last: { readonly askedAtMs: number; readonly snapshot: Snapshot } | undefined;
  let asking: Promise<Snapshot> | undefined;
  const ask = async (): Promise<Snapshot> => {
    const atMs = now();
    const [told, alerts] = await Promise.allSettled([readHour(url, atMs / 1_000), readAlerts(url)]);
    const faults = [told, alerts].flatMap((one) => (one.status === 'rejected' ? [faultOf(one.reason)] : []));
    const { processes, now: current, lastHour } = told.status === 'fulfilled' ? told.value : NOTHING;
    const snapshot: Snapshot = {
      at: new Date(atMs).toISOString(),
      source: 'prometheus',
      processes: [...processes],
      now: nowOf(current),
      lastHour,
      alerts: alerts.status === 'fulfilled' ? alerts.value : null,
      notes: [...new Set(faults)].map((fault) => `Prometheus cannot be asked: ${fault}.`),
    };
    last = { askedAtMs: atMs, snapshot };
    return snapshot;
  };
  return {
    async snapshot() {
      const ageMs = last === undefined ? Number.POSITIVE_INFINITY : now() - last.askedAtMs;
      if (last !== undefined && ageMs >= 0 && ageMs < ASK_EVERY_MS) return last.snapshot;
      asking ??= ask().finally(() => {
        asking = undefined;
      });
      return asking;
    },
    close: () => undefined,
  };
}

type Told = {
  readonly processes: Snapshot['processes'];
  readonly now: Stretch;
  readonly lastHour: Snapshot['lastHour'];
};

const UNKNOWN: Stretch = {
  perSecond: Object.fromEntries([...OUTCOMES, 'replayed'].map((name) => [name, null])) as Stretch['perSecond'],
  p50Ms: null,
  p95Ms: null,
  gauges: Object.fromEntries(GAUGES.map((name) => [name, null])) as Stretch['gauges'],
};
const NOTHING: Told = { processes: [], now: UNKNOWN, lastHour: lastHourOf([], []) };

async function readHour(url: string, nowS: number): Promise<Told> {
  const bounds = boundsOfHour(nowS);
  const ends = bounds.slice(1);
  const [from, to] = [ends[0] as number, ends.at(-1) as number];
  // The last place is the present moment, which the tiles show.
  const moments = [...ends, Math.floor(nowS)];
  const range = async (query: string): Promise<readonly Series[]> => {
    const [hour, present] = await Promise.all([
      get(url, 'query_range', { query, start: String(from), end: String(to), step: String(STRETCH_S) }),
      get(url, 'query', { query, time: String(moments.at(-1)) }),
    ]);
    return seriesOf(matrix.parse(hour), vector.parse(present), ends);
  };
  const one = async (query: string) => (await range(query))[0]?.values ?? moments.map(() => null);
  const [up, failed, succeeded, replayed, p50Ms, p95Ms, gauges] = await Promise.all([
    get(url, 'query', { query: 'up{job=~".*accubooks.*"}', time: String(moments.at(-1)) }),
    range(FAILED),
    one(SUCCEEDED),
    one(REPLAYED),
    one(`histogram_quantile(0.5, ${FIRST_ANSWERS})`),
    one(`histogram_quantile(0.95, ${FIRST_ANSWERS})`),
    Promise.all(GAUGES.map(async (gauge) => [gauge, await one(GAUGE_QUERIES[gauge])] as const)),
  ]);
  // Where failures are counted at all, there was none of a type that is not named.
  const none =
    failed.length === 0
      ? []
      : Object.values(ERROR_TYPES).map((outcome) => [outcome, moments.map((_, i) => zeroIf(failed, i))] as const);
  const rates = new Map<Counter, readonly (number | null)[]>([
    ...none,
    ['succeeded', succeeded],
    ['replayed', replayed],
    ...failed.flatMap(({ labels, values }) => {
      const outcome = ERROR_TYPES[labels['error_type'] ?? ''];
      return outcome === undefined ? [] : [[outcome, values] as const];
    }),
  ]);
  const stretch = (i: number): Stretch => ({
    perSecond: Object.fromEntries(
      [...OUTCOMES, 'replayed' as const].map((name) => [name, rates.get(name)?.[i] ?? null]),
    ) as Stretch['perSecond'],
    p50Ms: p50Ms[i] ?? null,
    p95Ms: p95Ms[i] ?? null,
    gauges: Object.fromEntries(gauges.map(([name, values]) => [name, values[i] ?? null])) as Stretch['gauges'],
  });
  return {
    processes: vector.parse(up).result.map(({ metric, value: [, text] }) => ({
      name: `${metric['job']} ${metric['instance']}`,
      answers: text === '1',
    })),
    now: stretch(ends.length),
    lastHour: lastHourOf(
      ends,
      ends.map((_, i) => stretch(i)),
    ),
  };
}

const labelSet = z.record(z.string(), z.string());
const point = z.tuple([z.number(), z.string()]);
const matrix = z.object({ result: z.array(z.object({ metric: labelSet, values: z.array(point) })) });
const vector = z.object({ result: z.array(z.object({ metric: labelSet, value: point })) });
const alertList = z.object({
  alerts: z.array(
    z.object({
      labels: labelSet,
      annotations: labelSet.default({}),
      state: z.string(),
      activeAt: z.string().optional(),
    }),
  ),
});
const answerSchema = z.object({ status: z.literal('success'), data: z.unknown() });

type Series = {
  readonly labels: Readonly<Record<string, string>>;
  /** One a moment: the ends of the stretches, then now. */
  readonly values: readonly (number | null)[];
};

function seriesOf(hour: z.output<typeof matrix>, present: z.output<typeof vector>, ends: readonly number[]): Series[] {
  const keyOf = (labels: Readonly<Record<string, string>>) =>
    JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const now = new Map(present.result.map(({ metric, value: [, text] }) => [keyOf(metric), { metric, text }]));
  const past = new Map(hour.result.map(({ metric, values }) => [keyOf(metric), { metric, values }]));
  return [...new Set([...past.keys(), ...now.keys()])].map((key) => {
    const values = new Map(past.get(key)?.values ?? []);
    return {
      labels: past.get(key)?.metric ?? now.get(key)?.metric ?? {},
      values: [...ends.map((end) => finite(values.get(end))), finite(now.get(key)?.text)],
    };
  });
}

function zeroIf(series: readonly Series[], place: number): number | null {
  return series.some(({ values }) => values[place] != null) ? 0 : null;
}

/** Null for no value, `NaN` (a quantile of nothing) and infinity, none of which JSON or a chart has. */
function finite(text: string | undefined): number | null {
  const number = numberOf(text ?? '');
  return number === undefined || !Number.isFinite(number) ? null : number;
}

async function readAlerts(url: string): Promise<Snapshot['alerts']> {
  const { alerts } = alertList.parse(await get(url, 'alerts', {}));
  return alerts
    .filter(({ state }) => state === 'firing' || state === 'pending')
    .map(({ labels, annotations, state, activeAt }) => ({
      name: labels['alertname'] ?? 'unknown',
      state: state as 'firing' | 'pending',
      severity: labels['severity'] ?? null,
      since: activeAt ?? null,
      summary: annotations['summary'] ?? null,
    }))
    .toSorted((a, b) => a.state.localeCompare(b.state) || a.name.localeCompare(b.name));
}

async function get(url: string, what: string, query: Readonly<Record<string, string>>): Promise<unknown> {
  const answer = await fetch(`${url.replace(/\/$/, '')}/api/v1/${what}?${new URLSearchParams(query).toString()}`, {
    redirect: 'error',
    signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
  });
  if (!answer.ok) {
    await answer.body?.cancel();
    throw new Error(`it answered ${answer.status}`);
  }
  return answerSchema.parse(await answer.json()).data;
}

/** In a few words: the error of a connection quotes its address. */
function faultOf(error: unknown): string {
  if (error instanceof z.ZodError) return 'its answer is none of Prometheus';
  if (error instanceof Error && error.name === 'TimeoutError')
    return `it did not answer within ${ANSWER_LIMIT_MS / 1_000} s`;
  return error instanceof Error && error.message.startsWith('it answered') ? error.message : 'it cannot be reached';
}

function wallClock(): number {
  // biome-ignore lint/plugin: Prometheus is asked about points in time.
  return Date.now();
}
