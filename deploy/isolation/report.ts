import { type Latencies, shownMs, summarize } from '../cli/latencies.ts';
import { textTable } from '../cli/table.ts';
import { labelOf } from '../client/src/answers.ts';
import { violationsIn } from './checks.ts';
import { type IsolationRun, type Sent, writeKeyOf } from './isolation.ts';

export type IsolationReport = {
  readonly companies: number;
  readonly sent: number;
  readonly answered: number;
  readonly first: number;
  readonly replayed: number;
  readonly writes: number;
  readonly rejected: number;
  /** Null without a database, the only source of this count. */
  readonly duplicates: number | null;
  readonly lost: number;
  readonly acknowledgedButMissing: number;
  readonly seenByAnotherCompany: number;
  /** Keys whose answers differ, or that got two answers without the replay marker. */
  readonly unequal: number;
  readonly unbalanced: number | null;
  readonly serverErrors: number;
  readonly perSecond: number;
  readonly latencies: Latencies;
  /** All answers, including those that were not final. */
  readonly answers: Readonly<Record<string, number>>;
  readonly checkedInDatabase: boolean;
  readonly violations: readonly string[];
};

export function reportOn(run: IsolationRun): IsolationReport {
  const { sent, findings, notReplayed, shownToAnother, seconds } = run;
  const keys = byKey(sent);
  const finals = sent.flatMap(({ submitted }) => submitted.final ?? []);
  const successes = finals.filter(({ status }) => status === 200 || status === 201);
  const answers = countAnswers(sent);
  const figures = {
    companies: new Set(sent.map(({ tenant }) => tenant.companyId)).size,
    sent: sent.length,
    answered: finals.length,
    first: finals.filter(({ replayed }) => !replayed).length,
    replayed: finals.filter(({ replayed }) => replayed).length,
    writes: findings?.writes ?? keysThat(keys, isSuccess),
    rejected: findings?.rejected ?? keys.size - keysThat(keys, isSuccess),
    duplicates: findings?.duplicates ?? null,
    lost: findings?.lost ?? keysThat(keys, ({ submitted }) => submitted.final === undefined),
    acknowledgedButMissing: findings?.acknowledgedButMissing ?? notReplayed ?? 0,
    seenByAnotherCompany: (findings?.seenByAnother ?? 0) + shownToAnother,
    unequal: [...keys.values()].filter(isUnequal).length,
    unbalanced: findings?.unbalanced ?? null,
    serverErrors: Object.entries(answers).reduce((sum, [label, times]) => (/^5/.test(label) ? sum + times : sum), 0),
  };
  return {
    ...figures,
    perSecond: successes.length / seconds,
    latencies: summarize(sent.filter(({ submitted }) => submitted.final).map(({ latencyMs }) => latencyMs)),
    answers,
    checkedInDatabase: findings !== undefined,
    violations: violationsOf(figures),
  };
}

type Figures = Omit<IsolationReport, 'perSecond' | 'latencies' | 'answers' | 'checkedInDatabase' | 'violations'>;

function violationsOf(figures: Figures): string[] {
  const { sent, answered, seenByAnotherCompany, unequal } = figures;
  const [duplicates, unbalanced] = [figures.duplicates ?? 0, figures.unbalanced ?? 0];
  return [
    ...(sent === answered ? [] : [`${sent - answered} not answered`]),
    ...violationsIn({ ...figures, duplicates, unbalanced, seenByAnother: seenByAnotherCompany }),
    ...(unequal === 0 ? [] : [`${unequal} keys with unequal answers`]),
  ];
}

export function isolationText(report: IsolationReport): string {
  const zero = (count: number | null) => (count === null || count === 0 ? '' : 'MUST BE 0');
  const shown = (count: number | null) => count ?? 'not checked';
  const { latencies } = report;
  const rows: [string, number | string, string][] = [
    ['companies', report.companies, ''],
    ['sent', report.sent, ''],
    ['answered', report.answered, report.answered === report.sent ? '' : 'MUST BE ALL'],
    ['first', report.first, ''],
    ['replayed', report.replayed, ''],
    ['writes', report.writes, ''],
    ['rejected', report.rejected, ''],
    ['duplicates', shown(report.duplicates), zero(report.duplicates)],
    ['lost', report.lost, zero(report.lost)],
    ['acknowledged but missing', report.acknowledgedButMissing, zero(report.acknowledgedButMissing)],
    ['seen by another company', report.seenByAnotherCompany, zero(report.seenByAnotherCompany)],
    ['keys with unequal answers', report.unequal, zero(report.unequal)],
    ['entries or invoices off balance', shown(report.unbalanced), zero(report.unbalanced)],
    ['5xx', report.serverErrors, ''],
    ['p50 ms', shownMs(latencies.p50Ms), ''],
    ['p95 ms', shownMs(latencies.p95Ms), ''],
    ['p99 ms', shownMs(latencies.p99Ms), ''],
    ['successes per second', report.perSecond.toFixed(0), ''],
  ];
  const answers = Object.entries(report.answers).map(([label, times]) => `${label} × ${times}`);
  return [
    textTable(
      ['', 'count', ''],
      rows.map((row) => row.map(String)),
    ),
    '',
    `Answers: ${answers.join(', ')}`,
    report.checkedInDatabase
      ? 'Checked in the database, and by answers'
      : 'Checked by answers only, with each key sent once more; give --database-url for the checks in the database',
    report.violations.length === 0 ? 'No violations' : `VIOLATED: ${report.violations.join('; ')}`,
  ].join('\n');
}

function byKey(sent: readonly Sent[]): Map<string, Sent[]> {
  const keys = new Map<string, Sent[]>();
  for (const one of sent) {
    const id = writeKeyOf(one.tenant, one.write);
    keys.set(id, [...(keys.get(id) ?? []), one]);
  }
  return keys;
}

function keysThat(keys: ReadonlyMap<string, readonly Sent[]>, holds: (one: Sent) => boolean): number {
  return [...keys.values()].filter((ofKey) => ofKey.some(holds)).length;
}

function isSuccess({ submitted }: Sent): boolean {
  return submitted.final?.status === 200 || submitted.final?.status === 201;
}

function isUnequal(ofKey: readonly Sent[]): boolean {
  const finals = ofKey.flatMap(({ submitted }) => submitted.final ?? []);
  const firsts = finals.filter(({ replayed }) => !replayed).length;
  return firsts > 1 || new Set(finals.map(({ status, text }) => `${status} ${text}`)).size > 1;
}

function countAnswers(sent: readonly Sent[]): Record<string, number> {
  const answers: Record<string, number> = {};
  const add = (label: string, times: number) => {
    answers[label] = (answers[label] ?? 0) + times;
  };
  for (const { submitted } of sent) {
    for (const [label, times] of Object.entries(submitted.onTheWay)) add(label, times);
    if (submitted.final !== undefined) add(labelOf(submitted.final), 1);
  }
  return answers;
}
