import type { Checked } from '../../activities/controls/controls.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { textTable } from '../cli/table.ts';
import { labelOf } from '../client/src/answers.ts';
import type { Outcome } from './run.ts';
import type { Simulation } from './simulate.ts';

export type SimulationReport = {
  readonly seed: string;
  readonly companies: readonly string[];
  readonly requests: number;
  readonly seconds: number;
  readonly perSecond: number;
  /** By operation: writes meant, and what became of them. */
  readonly operations: readonly OperationCounts[];
  /** Requests by what they were, and all final answers. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly answers: Readonly<Record<string, number>>;
  readonly controls: readonly Line[];
  readonly counts: readonly Line[];
  /** Null where they were not compared. */
  readonly metrics: readonly Line[] | null;
  readonly promises: readonly Line[];
  /** In words; empty when all is right. */
  readonly differences: readonly string[];
};

type OperationCounts = {
  readonly operation: string;
  readonly writes: number;
  readonly succeeded: number;
  readonly rejected: number;
  readonly cancelled: number;
  /** Another body under the same key came first. */
  readonly overtaken: number;
  /** Of them all, those that were answered that they wait for their approval. */
  readonly waited: number;
};

/** One line of the table: what was held against what, over how much, and where it does not hold. */
type Line = { readonly what: string; readonly figures: string; readonly wrong: readonly string[] };

const MAX_SHOWN = 10;

export function reportOn(run: Simulation, seed: string): SimulationReport {
  const { companyIds, steps, outcomes, seconds } = run;
  const controls = controlLines(run.controls, companyIds);
  const counts = countLines(run);
  const metrics = run.metrics === undefined ? null : metricLines(run.metrics);
  const promises = run.findings.map(({ promise, checked, wrong }) => ({
    what: promise,
    figures: shown(checked),
    wrong,
  }));
  return {
    seed,
    companies: companyIds,
    requests: steps.length,
    seconds,
    perSecond: outcomes.length / seconds,
    operations: operationCounts(run),
    kinds: tally(steps.map(({ kind }) => kind)),
    answers: tally(outcomes.map(({ final }) => (final === undefined ? 'no answer' : labelOf(final)))),
    controls,
    counts,
    metrics,
    promises,
    differences: [...controls, ...counts, ...(metrics ?? []), ...promises].flatMap(({ what, wrong }) =>
      wrong.map((one) => `${what}: ${one}`),
    ),
  };
}

function controlLines(checked: readonly Checked[], companyIds: readonly string[]): Line[] {
  const names = [...new Set(checked.map(({ control }) => control.name))];
  return names.map((name) => {
    const ofControl = checked.filter(({ control }) => control.name === name);
    const looked = companyIds.map((id) => ofControl.find(({ companyId }) => companyId === id)?.of ?? 0);
    const wrong = ofControl.flatMap(({ broken }) => broken.map((row) => JSON.stringify(row)));
    return { what: name, figures: looked.map(shown).join(' · '), wrong };
  });
}

function countLines({ equations }: Simulation): Line[] {
  const [first] = equations;
  return (first?.equations ?? []).map(({ of, relation }, index) => {
    const each = equations.map(({ companyId, equations: own }) => ({ companyId, equation: own[index] }));
    const sums = of.map((_, place) => each.reduce((sum, { equation }) => sum + (equation?.counts[place] ?? 0), 0));
    const wrong = each.flatMap(({ companyId, equation }) =>
      equation === undefined || equation.holds
        ? []
        : [`company ${companyId}: ${equation.counts.join(` ${relation} `)}`],
    );
    return { what: of.join(` ${relation} `), figures: sums.map(shown).join(` ${relation} `), wrong };
  });
}

function metricLines(counted: NonNullable<Simulation['metrics']>): Line[] {
  const groups: Readonly<Record<string, (name: string) => boolean>> = {
    'idempotent_writes_total, new = audit rows': (name) => /^writes \w+ new$/.test(name),
    'idempotent_writes_total, replayed = audit rows': (name) => /^writes \w+ replayed$/.test(name),
    'idempotent_writes_total, failed = audit rows': (name) => /^writes \w+ failed$/.test(name),
    'idempotent_writes_replayed_total = audit rows': (name) => name.startsWith('replayed '),
    'idempotent_writes_failed_total = audit rows': (name) => name.startsWith('failed '),
    'idempotent_writes_workflows_triggered_total = audit log': (name) => name.startsWith('triggered '),
    'approvals_waiting = requests for approval that are open': (name) => name === 'approvals waiting',
    'write_record_missing_total = 0': (name) => name === 'record missing',
  };
  return Object.entries(groups).map(([what, isIn]) => {
    const own = counted.filter(({ name }) => isIn(name));
    const [metric, audit] = [own.map((one) => one.metric), own.map((one) => one.audit)].map((numbers) =>
      numbers.reduce((sum, number) => sum + number, 0),
    );
    const wrong = own
      .filter((one) => one.metric !== one.audit)
      .map((one) => `${one.name}: ${one.metric} in the metrics, ${one.audit} in the database`);
    return { what, figures: `${shown(metric ?? 0)} = ${shown(audit ?? 0)}`, wrong };
  });
}

function operationCounts({ outcomes, steps }: Simulation): OperationCounts[] {
  return OPERATIONS.map(({ name }) => {
    const ofOperation = outcomes.filter(({ step }) => step.operation.name === name);
    const waited = ofOperation.filter(({ step, final }) => step.kind === 'write' && final?.status === 202);
    const keys = new Set(waited.map(keyOf));
    // What became of one that waited is the answer to the request that comes when all is decided.
    const own = ofOperation.filter((one) => (one.step.ends ? keys.has(keyOf(one)) : one.step.kind === 'write'));
    const having = (label: (text: string) => boolean) =>
      own.filter(({ final }) => final !== undefined && label(labelOf(final))).length;
    return {
      operation: name,
      writes: steps.filter(({ operation, kind }) => operation.name === name && kind === 'write').length,
      succeeded: having((text) => text === '200' || text === '201'),
      rejected: having((text) => /^4/.test(text) && !/ (write_cancelled|idempotency_key_reused)$/.test(text)),
      cancelled: having((text) => text === '409 write_cancelled'),
      overtaken: having((text) => text === '422 idempotency_key_reused'),
      waited: waited.length,
    };
  });
}

function keyOf({ step: { company, key } }: Outcome): string {
  return `${company} ${key}`;
}

function tally(labels: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const label of labels) counts[label] = (counts[label] ?? 0) + 1;
  return counts;
}

export function simulationText(report: SimulationReport): string {
  const { differences } = report;
  const idle = report.operations.filter(({ succeeded }) => succeeded === 0).map(({ operation }) => operation);
  const lines = (head: string, of: readonly Line[]) =>
    textTable(
      [head, 'figures', ''],
      of.map(({ what, figures, wrong }) => [what, figures, wrong.length === 0 ? 'holds' : `${wrong.length} WRONG`]),
    );
  return [
    `Seed ${report.seed}: ${shown(report.requests)} requests (${countsText(report.kinds)})`,
    '',
    textTable(
      ['operation', 'writes', 'succeeded', 'rejected', 'cancelled', 'overtaken', 'waited'],
      report.operations.map((one) => [
        one.operation,
        ...[one.writes, one.succeeded, one.rejected, one.cancelled, one.overtaken, one.waited].map(shown),
      ]),
    ),
    '',
    lines('the books: each control, and how much it looked at in each company', report.controls),
    '',
    lines('the record: what must be equal', report.counts),
    '',
    report.metrics === null
      ? 'the metrics: not compared (no --metrics-url, or a process was restarted)'
      : lines('the metrics: what the processes counted', report.metrics),
    '',
    lines('the answers', report.promises),
    '',
    `Answers: ${countsText(report.answers)}`,
    ...(idle.length === 0 ? [] : [`Not once succeeded, for lack of --operations: ${idle.join(', ')}`]),
    differences.length === 0 ? 'Nothing differs' : `${differences.length} DIFFERENCES`,
    ...differences.slice(0, MAX_SHOWN).map((difference) => `  ${difference}`),
    ...(differences.length > MAX_SHOWN ? [`  … and ${differences.length - MAX_SHOWN} more (--json has all)`] : []),
  ].join('\n');
}

function countsText(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([label, count]) => `${label} × ${shown(count)}`)
    .join(', ');
}

function shown(count: number): string {
  return count.toLocaleString('en-GB');
}
