import type { BaselineKind } from '../baseline/messages.ts';
import type { Grouping } from './api-process.ts';
import type { Mode } from './modes.ts';
import type { SuiteRow } from './report.ts';
import { type RunResult, runBenchmark } from './run.ts';
import type { Session } from './session.ts';
import { overloadTarget, targetsOf } from './targets.ts';

type Case = {
  readonly mode: Mode;
  readonly grouping: Grouping;
  readonly concurrency: number;
  /** Whether to measure the baseline at the same concurrency. */
  readonly compared: boolean;
};

/** Every promise about speed, in an order that starts the API only twice. */
const CASES: readonly Case[] = [
  { mode: 'new', grouping: 'on', concurrency: 1, compared: true },
  { mode: 'new', grouping: 'on', concurrency: 32, compared: true },
  { mode: 'new', grouping: 'on', concurrency: 128, compared: false },
  { mode: 'burst', grouping: 'on', concurrency: 500, compared: false },
  { mode: 'replay', grouping: 'on', concurrency: 32, compared: false },
  { mode: 'storm', grouping: 'on', concurrency: 500, compared: false },
  { mode: 'new', grouping: 'off', concurrency: 32, compared: true },
  { mode: 'new', grouping: 'off', concurrency: 512, compared: false },
];

export const SUITE_CONCURRENCY = Math.max(...CASES.map(({ concurrency }) => concurrency));

export async function runSuite(
  session: Session,
  options: { readonly seconds: number; readonly repeat: number },
  log: (line: string) => void,
): Promise<SuiteRow[]> {
  const rows: SuiteRow[] = [];
  for (const { compared, ...load } of CASES) {
    const baselines = compared && session.baseline !== undefined ? baselinesAt([load.concurrency]) : [];
    const result: RunResult = await runBenchmark(session, { ...load, ...options, rate: undefined, baselines }, log);
    rows.push({ result, targets: targetsOf(result) });
  }
  return withOverload(rows);
}

export function baselinesAt(concurrencies: readonly number[]) {
  const kinds: readonly BaselineKind[] = ['temporal', 'sql'];
  return [...new Set(concurrencies)].flatMap((concurrency) => kinds.map((kind) => ({ kind, concurrency })));
}

/** The last case is compared with the one before it. */
function withOverload(rows: readonly SuiteRow[]): SuiteRow[] {
  const [calm, overloaded] = rows.slice(-2);
  if (calm === undefined || overloaded === undefined) throw new Error('Bug! The suite lacks its last two cases');
  const targets = [overloadTarget(calm.result, overloaded.result)];
  return [...rows.slice(0, -1), { ...overloaded, targets }];
}
