import { type Latencies, median, summarize } from '../../cli/latencies.ts';
import { cpuOf } from '../cpu.ts';
import type { Measured } from '../loops.ts';

/** The measurements of one period of load. */
export type Segment = Latencies & {
  readonly perSecond: number;
  /** CPU time per write of each process, in milliseconds; undefined without /proc. */
  readonly cpuMs: Readonly<Record<string, number>> | undefined;
};

/** Measures the work between the edges that it reports, and the CPU time of the processes meanwhile. */
export async function measureSegment(
  pids: Readonly<Record<string, number>>,
  work: (onEdge: (edge: 'begin' | 'end') => void) => Promise<Measured>,
): Promise<Segment> {
  const cpu = { begin: undefined as Cpu, end: undefined as Cpu };
  const { answered, latenciesMs, seconds } = await work((edge) => {
    cpu[edge] = sample(pids);
  });
  return {
    ...summarize(latenciesMs),
    perSecond: seconds === 0 ? 0 : answered / seconds,
    cpuMs: cpuOfEach(cpu.begin, cpu.end, answered),
  };
}

type Cpu = Record<string, number> | undefined;

/** The generator is this process without its children, which are measured separately. */
function sample(pids: Readonly<Record<string, number>>): Cpu {
  const used = cpuOf(pids);
  const { user, system } = process.cpuUsage();
  return used && { ...used, generator: (user + system) / 1_000 };
}

function cpuOfEach(begin: Cpu, end: Cpu, writes: number): Cpu {
  if (begin === undefined || end === undefined || writes === 0) return undefined;
  return Object.fromEntries(Object.entries(end).map(([name, ms]) => [name, (ms - (begin[name] ?? 0)) / writes]));
}

/** The median of each figure over repeated segments; `count` is their sum. */
export function medianSegment(segments: readonly Segment[]): Segment {
  const of = (figure: (segment: Segment) => number) => median(segments.map(figure));
  const names = Object.keys(segments[0]?.cpuMs ?? {});
  return {
    count: segments.reduce((sum, segment) => sum + segment.count, 0),
    p50Ms: of(({ p50Ms }) => p50Ms),
    p95Ms: of(({ p95Ms }) => p95Ms),
    p99Ms: of(({ p99Ms }) => p99Ms),
    maxMs: of(({ maxMs }) => maxMs),
    perSecond: of(({ perSecond }) => perSecond),
    cpuMs:
      names.length === 0
        ? undefined
        : Object.fromEntries(names.map((name) => [name, of(({ cpuMs }) => cpuMs?.[name] ?? 0)])),
  };
}
