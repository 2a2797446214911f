import { quantile } from './quantile.ts';
import { type Buckets, type Counter, GAUGES, type Gauge, OUTCOMES, type Reading, SUMMED } from './reading.ts';

/** What the processes counted at one moment, by their names; a process that did not answer is not among them. */
export type Sample = { readonly atMs: number; readonly readings: ReadonlyMap<string, Reading> };

/** What is known of a stretch of time. Null where nobody has counted. */
export type Stretch = {
  readonly perSecond: Readonly<Record<Counter, number | null>>;
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly gauges: Readonly<Record<Gauge, number | null>>;
};

const COUNTERS: readonly Counter[] = [...OUTCOMES, 'replayed'];

/** The stretches between these moments, each with what happened after the one and up to the next. */
export function stretches(samples: readonly Sample[], boundsMs: readonly number[]): Stretch[] {
  const steps = stepsOf(samples);
  return boundsMs.slice(1).map((toMs, i) => {
    const fromMs = boundsMs[i] as number;
    return stretch(
      steps.filter((step) => step.fromMs < toMs && step.toMs > fromMs),
      samples.filter(({ atMs }) => atMs > fromMs && atMs <= toMs),
      { fromMs, toMs },
    );
  });
}

/** How much one process has counted between two of its readings. */
type Step = {
  readonly process: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly counters: Readonly<Partial<Record<Counter, number>>>;
  readonly buckets: Buckets;
};

/** From each reading of a process to its next, also over moments at which it did not answer. */
function stepsOf(samples: readonly Sample[]): Step[] {
  const last = new Map<string, { readonly atMs: number; readonly reading: Reading }>();
  return samples.flatMap(({ atMs, readings }) =>
    [...readings].flatMap(([process, reading]) => {
      const before = last.get(process);
      last.set(process, { atMs, reading });
      if (before === undefined || before.atMs >= atMs) return [];
      return [{ process, fromMs: before.atMs, toMs: atMs, ...increase(before.reading, reading) }];
    }),
  );
}

/** What a process has counted since. One that has started since, or that counts less than before, began at zero. */
export function increase(before: Reading, now: Reading): Pick<Step, 'counters' | 'buckets'> {
  const isNew =
    before.startedAt !== now.startedAt ||
    Object.entries(now.counters).some(([name, value]) => value < (before.counters[name as Counter] ?? 0));
  const since = (value: number, earlier = 0) => (isNew || value < earlier ? value : value - earlier);
  return {
    counters: Object.fromEntries(
      Object.entries(now.counters).map(([name, value]) => [name, since(value, before.counters[name as Counter])]),
    ),
    buckets: new Map([...now.buckets].map(([bound, count]) => [bound, since(count, before.buckets.get(bound))])),
  };
}

function stretch(
  steps: readonly Step[],
  samples: readonly Sample[],
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
): Stretch {
  // What was counted over a step is spread evenly over it: a process that did not answer for a while makes no peak afterwards.
  const shares = steps.map((step) => {
    const withinMs = Math.min(step.toMs, toMs) - Math.max(step.fromMs, fromMs);
    return { step, withinMs, share: withinMs / (step.toMs - step.fromMs) };
  });
  const perSecond = Object.fromEntries(COUNTERS.map((counter) => [counter, rateOf(counter, shares)]));
  const buckets = new Map<number, number>();
  for (const { step, share } of shares) {
    for (const [bound, count] of step.buckets) buckets.set(bound, (buckets.get(bound) ?? 0) + count * share);
  }
  return {
    perSecond: perSecond as Stretch['perSecond'],
    p50Ms: quantile(0.5, buckets),
    p95Ms: quantile(0.95, buckets),
    gauges: gaugesOf(samples.at(-1)),
  };
}

type Share = { readonly step: Step; readonly withinMs: number; readonly share: number };

/** The sum of the rates of the processes, each by the time for which it is known. Of one that does not count it, nothing is added. */
function rateOf(counter: Counter, shares: readonly Share[]): number | null {
  const byProcess = new Map<string, { counted: number; ms: number }>();
  for (const { step, withinMs, share } of shares) {
    const value = step.counters[counter];
    if (value === undefined) continue;
    const { counted, ms } = byProcess.get(step.process) ?? { counted: 0, ms: 0 };
    byProcess.set(step.process, { counted: counted + value * share, ms: ms + withinMs });
  }
  if (byProcess.size === 0) return null;
  return [...byProcess.values()].reduce((sum, { counted, ms }) => sum + counted / (ms / 1_000), 0);
}

/** The gauges of the whole system, as its processes told them at one moment. */
function gaugesOf(sample: Sample | undefined): Stretch['gauges'] {
  const readings = [...(sample?.readings.values() ?? [])];
  const all = GAUGES.map((gauge) => {
    const values = readings.flatMap(({ gauges }) => gauges[gauge] ?? []);
    if (values.length === 0) return [gauge, null];
    return [gauge, SUMMED.has(gauge) ? values.reduce((sum, value) => sum + value, 0) : Math.max(...values)];
  });
  return Object.fromEntries(all);
}
