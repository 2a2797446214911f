import { shownMs } from '../../cli/latencies.ts';
import type { BaselineKind } from '../baseline/messages.ts';
import type { BaselineResult, RunResult } from './run.ts';
import type { Segment } from './segment.ts';

/** What the design promises next to what was measured. For information: no target makes a run fail. */
export type Target = {
  readonly what: string;
  readonly measured: string;
  readonly target: string;
  /** Undefined if nothing is promised. */
  readonly met: boolean | undefined;
};

export function targetsOf(result: RunResult): Target[] {
  return [...ratios(result), ...promises(result)];
}

/** Throughput with grouping off at c=512 against c=32: overload must lengthen the waits and not reduce the throughput. */
export function overloadTarget(calm: RunResult, overloaded: RunResult): Target {
  const share = overloaded.ours.perSecond / calm.ours.perSecond;
  const what = `grouping off: throughput at c=${overloaded.options.concurrency} ÷ at c=${calm.options.concurrency}`;
  return { what, measured: share.toFixed(2), target: '≥ 0.80', met: share >= 0.8 };
}

/** Against the baseline at the same concurrency, and against SQL alone. */
function ratios({ options, ours, baselines }: RunResult): Target[] {
  const { concurrency, grouping, mode } = options;
  if (mode !== 'new' || options.rate !== undefined) return [];
  const temporal = at(baselines, 'temporal', concurrency);
  const sql = at(baselines, 'sql', concurrency);
  const targets: Target[] = [];
  if (temporal !== undefined) {
    const times = ours.perSecond / temporal.median.perSecond;
    const least = concurrency === 1 ? undefined : grouping === 'off' ? 0.9 : concurrency === 32 ? 10 : undefined;
    targets.push({
      what: 'throughput ÷ bare Temporal',
      measured: times.toFixed(2),
      target: least === undefined ? '–' : `≥ ${least.toFixed(2)}`,
      met: least === undefined ? undefined : times >= least,
    });
    const p50 = ours.p50Ms / temporal.median.p50Ms;
    targets.push({
      what: 'p50 ÷ bare Temporal',
      measured: p50.toFixed(2),
      target: concurrency === 1 ? '≤ 1.00' : '–',
      met: concurrency === 1 ? p50 <= 1 : undefined,
    });
  }
  const cpu = temporal && cpuShare(ours, temporal.median);
  if (cpu !== undefined) {
    // Of all figures, a busy machine distorts this one least.
    targets.push({ what: 'CPU per write ÷ bare Temporal', measured: cpu.toFixed(2), target: '–', met: undefined });
  }
  if (sql !== undefined) {
    const measured = (ours.perSecond / sql.median.perSecond).toFixed(2);
    targets.push({ what: 'throughput ÷ SQL alone', measured, target: '–', met: undefined });
  }
  return targets;
}

/** The absolute targets. */
function promises({ options, ours }: RunResult): Target[] {
  const { mode, concurrency, grouping, rate } = options;
  const p95 = (mostMs: number): Target => ({
    what: 'p95',
    measured: `${shownMs(ours.p95Ms)} ms`,
    target: `≤ ${shownMs(mostMs)} ms`,
    met: ours.p95Ms <= mostMs,
  });
  const perSecond = (what: string, least: number): Target => ({
    what,
    measured: `${Math.round(ours.perSecond).toLocaleString('en')}/s`,
    target: `≥ ${least.toLocaleString('en')}/s`,
    met: ours.perSecond >= least,
  });
  if (rate !== undefined) return [];
  if (mode === 'replay') return [perSecond('replays', 3_000)];
  if (mode === 'storm') return concurrency === 500 ? [p95(200)] : [];
  if (grouping === 'off') return [];
  if (mode === 'burst') return concurrency === 500 ? [p95(600)] : [];
  if (concurrency === 32) return [p95(90)];
  return concurrency === 128 ? [perSecond('writes', 900), p95(200), ...cpuPerWrite(ours, 1.8)] : [];
}

function cpuPerWrite(ours: Segment, mostMs: number): Target[] {
  const cpu = cpuOfServers(ours);
  if (cpu === undefined) return [];
  return [{ what: 'CPU per write', measured: `${cpu.toFixed(1)} ms`, target: `≤ ${mostMs} ms`, met: cpu <= mostMs }];
}

/** The baseline's includes its load generator, the API's does not. */
function cpuShare(ours: Segment, baseline: Segment): number | undefined {
  const [mine, theirs] = [cpuOfServers(ours), cpuOfServers(baseline)];
  return mine === undefined || !theirs ? undefined : mine / theirs;
}

/** CPU time of all server processes per write, in milliseconds; undefined without /proc. */
function cpuOfServers({ cpuMs }: Segment): number | undefined {
  return cpuMs && Object.entries(cpuMs).reduce((total, [name, ms]) => (name === 'generator' ? total : total + ms), 0);
}

function at(baselines: readonly BaselineResult[], kind: BaselineKind, concurrency: number): BaselineResult | undefined {
  return baselines.find((one) => one.kind === kind && one.concurrency === concurrency);
}
