import { shownMs } from '../../cli/latencies.ts';
import { markdownTable, textTable } from '../../cli/table.ts';
import { medianSegment, type Segment } from '../benchmark/segment.ts';
import type { Check, Load } from './measure/measure.ts';
import { contradictionsIn, sumOf } from './measure/verdict.ts';
import type { ContenderResult } from './rounds.ts';

export type Table = { readonly head: readonly string[]; readonly rows: readonly (readonly string[])[] };

/** Not asked for, or not measured because the contender failed. */
const NOTHING = '–';
const OURS = 'ours';

/** How fast each is, and how many times as fast ours is. */
export function figuresTable(results: readonly ContenderResult[], concurrencies: readonly number[]): Table {
  const most = Math.max(...concurrencies);
  const ours = results.find(({ name }) => name === OURS);
  const head = [
    'contender',
    ...concurrencies.map((concurrency) => `new/s, p95 ms, c=${concurrency}`),
    `ours ÷ it, new/s, c=${concurrencies.join(', ')}`,
    `replays/s, c=${most}`,
    '500 identical at once, p95 ms',
    `CPU ms per write, c=${most}: app + engine + PostgreSQL`,
  ];
  const rows = results.map((result) => {
    const fresh = (of: ContenderResult | undefined, concurrency: number) => median(of, { mode: 'new', concurrency });
    const ratios = concurrencies.map((concurrency) => ratio(fresh(ours, concurrency), fresh(result, concurrency)));
    return [
      result.title,
      ...concurrencies.map((concurrency) => speed(fresh(result, concurrency))),
      ratios.join(', '),
      perSecond(median(result, { mode: 'replay', concurrency: most })),
      p95(median(result, { mode: 'storm' })),
      cpu(fresh(result, most)),
    ];
  });
  return { head, rows };
}

/** What came of another body, of kills, and of everything else that was sent. */
export function outcomesTable(results: readonly ContenderResult[]): Table {
  const head = [
    'contender, version',
    'same key, another body',
    'killed three times: acknowledged, missing, twice, answered differently',
    'database after the other modes',
  ];
  const rows = results.map((result) => {
    const [first] = result.rounds;
    const kills = first?.kills;
    return [
      `${result.title} (${result.version ?? 'did not start'})`,
      first?.mismatch?.answer ?? NOTHING,
      kills === undefined ? NOTHING : killed(kills),
      database(result),
    ];
  });
  return { head, rows };
}

export function promisesTable(results: readonly ContenderResult[]): Table {
  const rows = results.map(({ title, promises, auditAndCompanies }) => [title, promises, auditAndCompanies]);
  return { head: ['contender', 'promises', 'audit and companies'], rows };
}

/** One line for each thing that went wrong: a failed round, a contradiction, an answer that may not be, an error. */
export function remarks({ title, failure, rounds }: ContenderResult): string[] {
  const checks = rounds.flatMap(checksOf);
  const contradictions = contradictionsIn(sumOf(checks.map(({ verdict }) => verdict)));
  const violations = [...new Set(checks.flatMap((check) => check.violations))];
  const errors = rounds.flatMap(({ loads }) => loads.flatMap((load) => Object.entries(load.errors)));
  const unanswered = rounds.reduce((sum, { kills }) => sum + (kills?.unanswered ?? 0), 0);
  return [
    ...(failure === undefined ? [] : [`${title} failed: ${failure}`]),
    ...contradictions.map((what) => `${title}: ${what}`),
    ...violations.map((what) => `${title}: ${what}`),
    ...(unanswered === 0 ? [] : [`${title}: ${unanswered} keys without an answer after a kill`]),
    ...errors.map(([label, times]) => `${title}: answered ${label} × ${times}`),
  ];
}

/** Whether the database or an answer contradicts what this contender has answered. */
export function isContradicted({ rounds }: ContenderResult): boolean {
  const checks = rounds.flatMap(checksOf);
  return checks.some(({ verdict, violations }) => violations.length > 0 || contradictionsIn(verdict).length > 0);
}

export function asText({ head, rows }: Table): string {
  return textTable(head, rows);
}

export function asMarkdown({ head, rows }: Table): string {
  return markdownTable(head, rows);
}

function checksOf({ loads, mismatch, kills }: ContenderResult['rounds'][number]): Check[] {
  return [...loads, mismatch, kills].filter((check) => check !== undefined);
}

function median(result: ContenderResult | undefined, wanted: Partial<Load>): Segment | undefined {
  const loads = result?.rounds.flatMap((round) => round.loads) ?? [];
  const same = loads.filter(
    ({ mode, concurrency }) =>
      mode === wanted.mode && (wanted.concurrency === undefined || concurrency === wanted.concurrency),
  );
  return same.length === 0 ? undefined : medianSegment(same.map(({ segment }) => segment));
}

function ratio(ours: Segment | undefined, its: Segment | undefined): string {
  if (ours === undefined || its === undefined || its.perSecond === 0) return NOTHING;
  return (ours.perSecond / its.perSecond).toFixed(2);
}

function speed(segment: Segment | undefined): string {
  return segment === undefined ? NOTHING : `${perSecond(segment)}, ${p95(segment)}`;
}

function perSecond(segment: Segment | undefined): string {
  return segment === undefined ? NOTHING : Math.round(segment.perSecond).toLocaleString('en');
}

function p95(segment: Segment | undefined): string {
  return segment === undefined ? NOTHING : shownMs(segment.p95Ms);
}

function cpu(segment: Segment | undefined): string {
  const { app = 0, engine = 0, postgres = 0 } = segment?.cpuMs ?? {};
  if (segment?.cpuMs === undefined) return NOTHING;
  const parts = [app, engine, postgres].map((ms) => ms.toFixed(1)).join(' + ');
  return `${(app + engine + postgres).toFixed(1)} (${parts})`;
}

function killed({ verdict }: Check): string {
  const { acknowledged, missing, twice, answeredDifferently } = verdict;
  return [acknowledged, missing, twice, answeredDifferently].map((count) => count.toLocaleString('en')).join(', ');
}

function database({ rounds }: ContenderResult): string {
  const verdicts = rounds.flatMap(({ loads, mismatch }) =>
    [...loads, mismatch].flatMap((check) => check?.verdict ?? []),
  );
  if (verdicts.length === 0) return NOTHING;
  const sum = sumOf(verdicts);
  const contradictions = contradictionsIn(sum);
  const keys = `${sum.acknowledged.toLocaleString('en')} keys`;
  return contradictions.length === 0 ? `agrees with all ${keys}` : `${contradictions.join(', ')} of ${keys}`;
}
