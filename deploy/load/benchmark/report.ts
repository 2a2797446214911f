import { cpus, loadavg } from 'node:os';
import { shownMs } from '../../cli/latencies.ts';
import { markdownTable, textTable } from '../../cli/table.ts';
import { RAISED } from './api-process.ts';
import { describe, type RunResult } from './run.ts';
import type { Segment } from './segment.ts';
import { type Target, targetsOf } from './targets.ts';

const FIGURES = ['', 'answers', 'per second', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms', 'CPU ms per write'];

/** The conditions of the measurement; the figures do not apply to another machine. */
export function conditions(): string[] {
  return [
    machine(),
    'One API process, PostgreSQL (synchronous commit on) and the Temporal dev server (SQLite in a file, WAL) on this machine',
    `Set for the run: ${Object.entries(RAISED)
      .map(([name, value]) => `${name}=${value}`)
      .join(' ')}; requests prefer wait=60`,
  ];
}

export function machine(): string {
  const [cpu] = cpus();
  const load = loadavg().map((value) => value.toFixed(2));
  return `${cpus().length} CPUs (${cpu?.model.trim() ?? 'unknown'}), Node ${process.versions.node}, load ${load.join(' ')} at the end`;
}

export function reportOf(result: RunResult): string {
  const rows = [
    figures('ours', result.ours),
    ...result.baselines.map(({ kind, concurrency, median }) =>
      figures(`${kind === 'temporal' ? 'bare Temporal' : 'SQL alone'}, c=${concurrency}`, median),
    ),
  ];
  return [
    '',
    describe(result.options) + (result.options.repeat > 1 ? ` (medians of ${result.options.repeat})` : ''),
    '',
    textTable(FIGURES, rows),
    '',
    ...result.baselines.map(driftOf),
    `Errors: ${countsOf(result.errors)}`,
    ...verdict(result),
    ...targetLines(targetsOf(result)),
  ].join('\n');
}

export type SuiteRow = { readonly result: RunResult; readonly targets: readonly Target[] };

const SUITE_HEAD = ['case', 'per second', 'p50 ms', 'p95 ms', 'p99 ms', 'against the target', ''];

export function suiteText(rows: readonly SuiteRow[]): string {
  return textTable(SUITE_HEAD, rows.flatMap(suiteLines));
}

export function suiteMarkdown(rows: readonly SuiteRow[], command: string): string {
  const [first] = rows;
  const { seconds, repeat } = first?.result.options ?? { seconds: 0, repeat: 1 };
  return [
    `Measured with \`${command}\`: ${seconds} s per case${repeat > 1 ? `, medians of ${repeat} runs` : ''}.`,
    '',
    ...conditions().map((line) => `- ${line}`),
    '',
    markdownTable(SUITE_HEAD.slice(0, -1), rows.map(suiteMarkdownLine)),
    '',
    'CPU time per write, in milliseconds:',
    '',
    markdownTable(
      ['case', 'CPU ms per write'],
      rows.flatMap(({ result }) => [
        [describe(result.options), cpuOf(result.ours)],
        ...result.baselines
          .filter(({ kind }) => kind === 'temporal')
          .map(({ concurrency, median }) => [`bare Temporal, c=${concurrency}`, cpuOf(median)]),
      ]),
    ),
    '',
  ].join('\n');
}

/** The first target is on the line of the figures, the others on the lines below. */
function suiteLines({ result, targets }: SuiteRow): string[][] {
  const figures = suiteFigures(result);
  const rows = targets.length === 0 ? [['', '']] : targets.map(targetCells);
  return rows.map((cells, index) => [...(index === 0 ? figures : figures.map(() => '')), ...cells]);
}

/** A Markdown row cannot span lines, so all targets are in one cell. */
function suiteMarkdownLine({ result, targets }: SuiteRow): string[] {
  const cells = targets.map((target) => targetCells(target).filter(Boolean).join(': '));
  return [...suiteFigures(result), cells.join('<br>')];
}

function suiteFigures({ ours, options }: RunResult): string[] {
  return [describe(options), perSecond(ours), shownMs(ours.p50Ms), shownMs(ours.p95Ms), shownMs(ours.p99Ms)];
}

function targetCells({ what, measured, target, met }: Target): string[] {
  return [`${what} ${measured}${target === '–' ? '' : ` (${target})`}`, markOf(met)];
}

function targetLines(targets: readonly Target[]): string[] {
  if (targets.length === 0) return [];
  const rows = targets.map(({ what, measured, target, met }) => [what, measured, target, markOf(met)]);
  return ['', textTable(['', 'measured', 'target', ''], rows)];
}

function markOf(met: boolean | undefined): string {
  return met === undefined ? '' : met ? 'met' : 'missed';
}

function figures(name: string, segment: Segment): string[] {
  const { p50Ms, p95Ms, p99Ms, maxMs } = segment;
  const latencies = [p50Ms, p95Ms, p99Ms, maxMs].map(shownMs);
  return [name, segment.count.toLocaleString('en'), perSecond(segment), ...latencies, cpuOf(segment)];
}

function perSecond(segment: Segment): string {
  return segment.perSecond < 100 ? segment.perSecond.toFixed(1) : Math.round(segment.perSecond).toLocaleString('en');
}

function cpuOf({ cpuMs }: Segment): string {
  if (cpuMs === undefined) return 'unknown';
  // The baseline generates its load in its own process.
  const shown = Object.entries(cpuMs).filter(([name]) => name !== 'generator' || !('baseline' in cpuMs));
  return shown.map(([name, ms]) => `${name} ${ms.toFixed(1)}`).join(', ');
}

function driftOf({ kind, concurrency, perSecond: stretches }: RunResult['baselines'][number]): string {
  const name = kind === 'temporal' ? 'bare Temporal' : 'SQL alone';
  return `${name}, c=${concurrency}, before and after, per second: ${stretches.map((value) => value.toFixed(0)).join(', ')}`;
}

function verdict({ writes, violations }: RunResult): string[] {
  if (violations.length > 0) return [`VIOLATED: ${violations.join('; ')}`];
  return [
    `Checked in the database: ${writes.toLocaleString('en')} acknowledged writes, each with one payment, one balanced entry, one audit row "new" and one event; none missing`,
  ];
}

function countsOf(errors: Readonly<Record<string, number>>): string {
  const counts = Object.entries(errors).map(([label, times]) => `${label} × ${times}`);
  return counts.length === 0 ? 'none' : counts.join(', ');
}
