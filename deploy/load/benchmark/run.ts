import { createPayment } from '../../../activities/operations/create-payment.ts';
import { asAuditor } from '../../cli/auditor.ts';
import { count } from '../../client/src/repeat.ts';
import { check, lookBefore, type SentKey, violationsIn } from '../../isolation/checks.ts';
import type { BaselineKind } from '../baseline/messages.ts';
import type { ApiProcess, Grouping } from './api-process.ts';
import { type Load, sendLoad } from './modes.ts';
import { createRig, type Rig } from './rig.ts';
import { measureSegment, medianSegment, type Segment } from './segment.ts';
import { openHttpInTurn, type Session } from './session.ts';

export type RunOptions = Load & {
  readonly grouping: Grouping;
  readonly seconds: number;
  readonly repeat: number;
  /** The baselines to measure before and after, each at its concurrency. */
  readonly baselines: readonly { readonly kind: BaselineKind; readonly concurrency: number }[];
};

export type RunResult = {
  readonly options: RunOptions;
  /** Medians over the repetitions. */
  readonly ours: Segment;
  readonly repetitions: readonly Segment[];
  readonly baselines: readonly BaselineResult[];
  readonly errors: Readonly<Record<string, number>>;
  readonly writes: number;
  readonly violations: readonly string[];
};

export type BaselineResult = {
  readonly kind: BaselineKind;
  readonly concurrency: number;
  /** Medians over all segments, before and after ours. */
  readonly median: Segment;
  /** In the order of measurement; their spread shows how much the machine drifted. */
  readonly perSecond: readonly number[];
};

const WARM_UP_MS = 1_000;
const MIN_BASELINE_MS = 2_000;

export async function runBenchmark(session: Session, options: RunOptions, log: (line: string) => void) {
  const ours: Segment[] = [];
  const baselineRuns = options.baselines.map((wanted) => ({ ...wanted, segments: [] as Segment[] }));
  const errors: Record<string, number> = {};
  const violations: string[] = [];
  let writes = 0;
  for (let repetition = 1; repetition <= options.repeat && !session.signal.aborted; repetition += 1) {
    log(`${describe(options)}${options.repeat > 1 ? `, ${repetition} of ${options.repeat}` : ''}`);
    for (const { segments, ...wanted } of baselineRuns) segments.push(await measureBaseline(session, options, wanted));
    const own = await measureApi(session, await session.apis(options.grouping), options);
    for (const { segments, ...wanted } of baselineRuns) segments.push(await measureBaseline(session, options, wanted));
    ours.push(own.segment);
    violations.push(...own.violations);
    writes += own.writes;
    for (const [label, times] of Object.entries(own.errors)) count(errors, label, times);
  }
  session.signal.throwIfAborted();
  const baselines = baselineRuns.map(({ segments, ...wanted }) => ({
    ...wanted,
    median: medianSegment(segments),
    perSecond: segments.map(({ perSecond }) => perSecond),
  }));
  return { options, ours: medianSegment(ours), repetitions: ours, baselines, errors, writes, violations };
}

export function describe({ mode, concurrency, rate, grouping }: RunOptions): string {
  const load = rate === undefined ? `c=${concurrency}` : `${rate}/s`;
  return `${mode}, ${load}, grouping ${grouping}`;
}

/** Measures one segment on API processes, then checks their answers against the database. */
export async function measureApi(
  session: Session,
  apis: readonly ApiProcess[],
  options: Load & {
    readonly seconds: number;
    /** Further processes whose CPU time counts. */
    readonly pids?: Readonly<Record<string, number>>;
  },
): Promise<{
  readonly segment: Segment;
  readonly errors: Readonly<Record<string, number>>;
  readonly writes: number;
  readonly violations: readonly string[];
}> {
  const { databaseUrl } = session.servers.database;
  const before = await asAuditor(databaseUrl, (auditor) =>
    lookBefore(
      auditor,
      createPayment,
      session.payers.map(({ companyId }) => companyId),
    ),
  );
  // An open loop needs as many connections as it may have payments in flight.
  const connections =
    options.rate === undefined ? options.concurrency : session.payers.flatMap(({ invoiceIds }) => invoiceIds).length;
  const http = openHttpInTurn(apis, connections);
  const rigs = session.payers.map(({ token, invoiceIds }) => createRig(http, token, invoiceIds));
  try {
    const segment = await measureSegment({ ...pidsOf(apis), ...serverPids(session), ...options.pids }, (onEdge) =>
      sendLoad(options, rigs, {
        warmUpMs: WARM_UP_MS,
        measureMs: options.seconds * 1_000,
        signal: session.signal,
        onEdge,
      }),
    );
    const keys: SentKey[] = [];
    const errors: Record<string, number> = {};
    for (const [at, { companyId }] of session.payers.entries()) {
      const rig = rigs[at] as Rig;
      await rig.settle();
      for (const key of rig.acknowledgedKeys) keys.push({ companyId, key, acknowledged: true });
      for (const [label, times] of Object.entries(rig.errors)) count(errors, label, times);
    }
    const findings = await asAuditor(databaseUrl, (auditor) => check(auditor, createPayment, keys, before));
    const violations = [...rigs.flatMap((rig) => rig.violations), ...violationsIn(findings)];
    return { segment, errors, writes: findings.writes, violations };
  } finally {
    await http.close();
  }
}

export async function measureBaseline(
  { baseline, signal, ...session }: Session,
  { seconds }: Pick<RunOptions, 'seconds'>,
  wanted: { readonly kind: BaselineKind; readonly concurrency: number },
): Promise<Segment> {
  signal.throwIfAborted();
  if (baseline === undefined) throw new Error('Bug! The baseline was not started');
  const pids = { baseline: baseline.pid, ...serverPids(session) };
  const measureMs = Math.max(MIN_BASELINE_MS, (seconds * 1_000) / 2);
  const order = { ...wanted, warmUpMs: WARM_UP_MS, measureMs };
  return measureSegment(pids, (onEdge) => baseline.measure(order, onEdge));
}

/** `api` for one process; `api 1`, `api 2` and so on for several. */
export function pidsOf(apis: readonly ApiProcess[]): Record<string, number> {
  return Object.fromEntries(apis.map(({ pid }, at) => [apis.length === 1 ? 'api' : `api ${at + 1}`, pid]));
}

export function serverPids({ servers }: Pick<Session, 'servers'>) {
  return { postgres: servers.postgresPid, temporal: servers.temporalPid };
}
