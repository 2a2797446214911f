import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { samplesIn } from '../../api/operators/now/metrics-text.ts';
import { quantile } from '../../api/operators/now/quantile.ts';
import { increase, type Sample, stretches } from '../../api/operators/now/rates.ts';
import {
  type Counter as CounterName,
  type Gauge as GaugeName,
  type Reading,
  readingOf,
} from '../../api/operators/now/reading.ts';
import { boundsOfHour } from '../../api/operators/now/snapshot.ts';

const INFINITE = Number.POSITIVE_INFINITY;

function reading(
  counters: Partial<Record<CounterName, number>>,
  more: Partial<Reading> & { readonly gauges?: Partial<Record<GaugeName, number>> } = {},
): Reading {
  return { startedAt: 1, counters, buckets: new Map(), gauges: {}, ...more };
}

/** A sample every five seconds, of the processes by their names. */
function samplesOf(...each: readonly Readonly<Record<string, Reading>>[]): Sample[] {
  return each.map((readings, i) => ({ atMs: i * 5_000, readings: new Map(Object.entries(readings)) }));
}

const succeededIn = (samples: readonly Sample[], ...bounds: readonly number[]) =>
  stretches(samples, bounds).map(({ perSecond }) => perSecond.succeeded);

describe('a page of metrics', () => {
  test('is read to the values of the metrics that are wanted, with labels of any text', () => {
    const page = [
      '# HELP a_total Of a',
      'a_total{name="x\\"y\\\\z\\nw",le="+Inf"} 3',
      'a_total 4 1700000000000',
      'b_total 5',
      'a_total{name="none"} NaN',
      'a_total is no line of it',
    ].join('\n');
    expect(samplesIn(page, new Set(['a_total']))).toEqual([
      { name: 'a_total', labels: { name: 'x"y\\z\nw', le: '+Inf' }, value: 3 },
      { name: 'a_total', labels: {}, value: 4 },
    ]);
  });

  test('is summed over operations, and answers to replays are left out', async () => {
    const registry = new Registry();
    const registers = [registry];
    const of = { name: '', help: 'h', registers };
    const writes = new Counter({ ...of, name: 'idempotent_writes_total', labelNames: ['operation', 'status'] });
    writes.inc({ operation: 'a', status: 'new' }, 2);
    writes.inc({ operation: 'b', status: 'new' }, 3);
    writes.inc({ operation: 'b', status: 'replayed' }, 100);
    const failed = new Counter({ ...of, name: 'idempotent_writes_failed_total', labelNames: ['error_type'] });
    failed.inc({ error_type: 'mismatch' }, 7);
    const duration = new Histogram({
      ...{ ...of, name: 'idempotent_write_duration_ms', labelNames: ['answer'], buckets: [10, 100] },
    });
    for (const [answer, ms] of [
      ['first', 5],
      ['first', 50],
      ['first', 5_000],
      ['replay', 1],
    ] as const) {
      duration.observe({ answer }, ms);
    }
    const findings = new Gauge({ ...of, name: 'auditor_findings', labelNames: ['scope'] });
    findings.set({ scope: 'recent' }, 1);
    findings.set({ scope: 'all' }, 4);
    new Gauge({ ...of, name: 'write_oldest_flight_seconds' }).set(2);
    new Gauge({ ...of, name: 'write_oldest_run_seconds' }).set(9);
    expect(readingOf(await registry.metrics())).toEqual({
      startedAt: undefined,
      // Failures are counted: of the types that are not named there was none.
      counters: { succeeded: 5, conflicted: 7, rejected: 0, cancelled: 0, failed: 0, unavailable: 0 },
      buckets: new Map([
        [10, 1],
        [100, 2],
        [INFINITE, 3],
      ]),
      gauges: { recentFindings: 1, allFindings: 4, oldestUnfinishedSeconds: 9 },
    });
  });
});

describe('a rate', () => {
  test('is what was counted over the time, and the sum of the processes', () => {
    const samples = samplesOf(
      { a: reading({ succeeded: 100 }), b: reading({ succeeded: 10 }) },
      { a: reading({ succeeded: 110 }), b: reading({ succeeded: 15 }) },
    );
    expect(succeededIn(samples, 0, 5_000)).toEqual([3]);
  });

  test('is zero where nothing was counted, and unknown where nobody has counted', () => {
    const samples = samplesOf({ a: reading({ succeeded: 100 }) }, { a: reading({ succeeded: 100 }) });
    expect(succeededIn(samples, 0, 5_000, 10_000)).toEqual([0, null]);
    expect(succeededIn(samples.slice(0, 1), 0, 5_000)).toEqual([null]);
    expect(stretches(samples, [0, 5_000])[0]?.perSecond.replayed).toBeNull();
  });

  test('counts from zero for a process that has started again, whatever it counts now', () => {
    const samples = samplesOf(
      { a: reading({ succeeded: 100 }) },
      { a: reading({ succeeded: 20 }) },
      { a: reading({ succeeded: 125 }, { startedAt: 2 }) },
    );
    expect(succeededIn(samples, 0, 5_000, 10_000)).toEqual([4, 25]);
    const buckets = new Map([[INFINITE, 3]]);
    expect(increase(reading({}, { buckets }), reading({}, { buckets, startedAt: 2 })).buckets).toEqual(buckets);
  });

  test('counts a label from zero that a running process has not had before', () => {
    expect(increase(reading({ succeeded: 1 }), reading({ succeeded: 1, cancelled: 2 })).counters).toEqual({
      succeeded: 0,
      cancelled: 2,
    });
  });

  test('of a process that was silent for a while makes no peak afterwards, and hides no other', () => {
    const b = { b: reading({ succeeded: 0 }) };
    const samples = samplesOf({ a: reading({ succeeded: 0 }), ...b }, b, b, { a: reading({ succeeded: 30 }), ...b });
    expect(succeededIn(samples, 0, 5_000, 10_000, 15_000)).toEqual([2, 2, 2]);
  });

  test('is shared between two stretches by the time that is in each', () => {
    const samples = samplesOf({ a: reading({ succeeded: 0 }) }, { a: reading({ succeeded: 10 }) });
    expect(succeededIn(samples, 0, 2_000, 10_000)).toEqual([2, 2]);
    const slowing = samplesOf(
      { a: reading({ succeeded: 0 }) },
      { a: reading({ succeeded: 30 }) },
      { a: reading({ succeeded: 30 }) },
    );
    // Five seconds of six, one of nothing.
    expect(succeededIn(slowing, 0, 6_000)).toEqual([5]);
  });
});

describe('a gauge', () => {
  test('is the sum where each process has its own, and the largest where all ask the same', () => {
    const samples = samplesOf({
      a: reading({}, { gauges: { inFlight: 2, relayLagSeconds: 3 } }),
      b: reading({}, { gauges: { inFlight: 5, relayLagSeconds: 1 } }),
    });
    expect(stretches(samples, [-1, 0])[0]?.gauges).toMatchObject({ inFlight: 7, relayLagSeconds: 3, queued: null });
  });

  test('is unknown once nobody tells it, instead of what it was', () => {
    const samples = samplesOf({ a: reading({}, { gauges: { sealLagSeconds: 3 } }) }, {});
    expect(stretches(samples, [-1, 0, 5_000]).map(({ gauges }) => gauges.sealLagSeconds)).toEqual([3, null]);
    expect(stretches(samples, [-1, 5_000]).map(({ gauges }) => gauges.sealLagSeconds)).toEqual([null]);
  });
});

describe('a quantile', () => {
  const of = (share: number, ...counts: readonly (readonly [number, number])[]) => quantile(share, new Map(counts));

  test('is spread evenly within its bucket', () => {
    expect(of(0.5, [10, 0], [20, 100], [INFINITE, 100])).toBe(15);
    expect(of(0.95, [10, 50], [20, 100], [INFINITE, 100])).toBe(19);
    expect(of(0.5, [10, 100], [INFINITE, 100])).toBe(5);
  });

  test('is the last finite bound where more takes longer than that, and unknown without observations', () => {
    expect(of(0.95, [10, 1], [20, 2], [INFINITE, 100])).toBe(20);
    expect(of(0.95, [10, 0], [INFINITE, 0])).toBeNull();
    expect(of(0.95)).toBeNull();
    expect(of(0.95, [INFINITE, 3])).toBeNull();
  });

  test('needs no order of the buckets', () => {
    expect(of(0.5, [INFINITE, 100], [20, 100], [10, 0])).toBe(15);
  });
});

describe('the last hour', () => {
  test('is a hundred and twenty stretches of which each begins where the one before ends, at the same seconds of each minute', () => {
    const bounds = boundsOfHour(1_000_000_007.3);
    expect(bounds).toHaveLength(121);
    expect(bounds.at(-1)).toBe(999_999_990 + 0);
    expect(new Set(bounds.slice(1).map((bound, i) => bound - (bounds[i] ?? 0)))).toEqual(new Set([30]));
  });
});
