import { shownMs } from '../cli/latencies.ts';
import { markdownTable, textTable } from '../cli/table.ts';
import { machine } from '../load/benchmark/report.ts';
import type { Verdict } from './judge.ts';
import type { ScenarioEnd } from './run.ts';
import { NEEDS, type Scenario } from './scenario.ts';

const HEAD = [
  'scenario',
  'sent',
  'answered',
  'writes',
  'duplicates',
  'lost',
  'acknowledged but missing',
  'unequal answers',
  'unbalanced',
  '5xx',
  'longest silence',
  'first success',
  'steady again',
];

export function violationsOf(end: ScenarioEnd): readonly string[] {
  if ('failed' in end) return [`ended in the middle: ${end.failed}`];
  return 'verdict' in end ? end.verdict.violations : [];
}

export function chaosText(ends: readonly ScenarioEnd[]): string {
  const notes = ends.flatMap((end) => notesOf(end).map((note) => `${end.scenario.name}: ${note}`));
  const violated = ends.filter((end) => violationsOf(end).length > 0).length;
  return [
    textTable(HEAD, ends.map(rowOf)),
    '',
    ...notes,
    '',
    violated === 0 ? 'No violations' : `VIOLATED in ${violated} of ${ends.length} scenarios`,
  ].join('\n');
}

export function chaosMarkdown(
  ends: readonly ScenarioEnd[],
  { minutes, seed }: { minutes: number; seed: string },
): string {
  const promises = ends.map(
    ({ scenario }) =>
      `- \`${scenario.name}\`: ${scenario.promise}${scenario.needs.length === 0 ? '' : ` *Needs ${needsOf(scenario)}.*`}`,
  );
  const rows = ends.map((end) => rowOf(end).map((cell, column) => (column === 0 ? `\`${cell}\`` : cell)));
  return [
    ...promises,
    '',
    `The last run, with \`--minutes ${minutes} --seed ${seed}\`, on ${machine()}:`,
    '',
    markdownTable(HEAD, rows),
    '',
    ...ends.flatMap((end) => notesOf(end).map((note) => `- \`${end.scenario.name}\`: ${note}`)),
    '',
  ].join('\n');
}

export function scenarioList(scenarios: readonly Scenario[]): string {
  return scenarios.map((one) => `${one.name}\n  ${one.promise}\n  Needs: ${needsOf(one)}`).join('\n');
}

export function chaosJson(ends: readonly ScenarioEnd[], options: { minutes: number; seed: string }) {
  return {
    ...{ minutes: options.minutes, seed: options.seed },
    scenarios: ends.map((end) => ({
      scenario: end.scenario.name,
      ...('verdict' in end ? end.verdict : {}),
      notRun: 'notRun' in end ? end.notRun : null,
      violations: violationsOf(end),
    })),
  };
}

function needsOf({ needs }: Scenario): string {
  return needs.length === 0 ? 'nothing' : needs.map((need) => NEEDS[need]).join(' and ');
}

function rowOf(end: ScenarioEnd): string[] {
  const { scenario } = end;
  if (!('verdict' in end)) return [scenario.name, 'notRun' in end ? 'not run' : 'failed'];
  const { verdict } = end;
  const count = (value: number | null) => (value === null ? 'not checked' : value.toLocaleString('en'));
  return [
    scenario.name,
    ...[verdict.sent, verdict.answered, verdict.writes, verdict.duplicates, verdict.lost].map(count),
    ...[verdict.acknowledgedButMissing, verdict.unequal, verdict.unbalanced, verdict.serverErrors].map(count),
    seconds(verdict.longestSilenceMs),
    ...(verdict.troubles === 0 ? ['–', '–'] : [seconds(verdict.firstSuccessMs), seconds(verdict.steadyMs)]),
  ];
}

function seconds(ms: number | null): string {
  return ms === null ? 'not seen' : `${(ms / 1_000).toFixed(1)} s`;
}

function notesOf(end: ScenarioEnd): string[] {
  if ('notRun' in end) return [`not run: ${end.notRun}`];
  const violated = violationsOf(end).map((violation) => `VIOLATED: ${violation}`);
  if ('failed' in end) return violated;
  const { verdict } = end;
  return [...figuresOf(verdict), ...violated];
}

function figuresOf({ answers, facts, latencies, checkedInDatabase }: Verdict): string[] {
  const failures = Object.entries(answers).filter(([label]) => /^5|^no answer/.test(label));
  const parts = [
    ...Object.entries(facts).map(([what, figure]) => `${what}: ${figure}`),
    ...failures.map(([label, times]) => `${label} × ${times}`),
    `p95 ${shownMs(latencies.p95Ms)} ms`,
    ...(checkedInDatabase ? [] : ['checked by answers only']),
  ];
  return [parts.join(' · ')];
}
