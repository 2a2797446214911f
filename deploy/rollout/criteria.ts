import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';
import { parse } from 'yaml';

/** A reason to end a roll-out: an alert of the rules file, evaluated for one version only. */
export type Criterion = { readonly alert: string; readonly expression: string };

/**
 * The alerts that can tell a bad version from a good one. The others are about the database, the books or clients, which
 * both versions share. If the rules have two alerts of the same name, the first counts, which is the critical one.
 */
export const ROLLOUT_ALERTS = [
  'WritesFailing',
  'WritesSlow',
  'WriteRecordMissing',
  'WorkflowTasksFailing',
  'DatabasePoolNearlyFull',
] as const;

type Rules = { groups: readonly { rules: readonly { alert?: string; expr: string }[] }[] };

/** Reads the criteria from a Prometheus rules file (YAML). Throws if the file lacks one of the alerts. */
export function readCriteria(rulesFile: string, scope: Scope): Criterion[] {
  const rules = (parse(rulesFile) as Rules).groups.flatMap((group) => group.rules);
  return ROLLOUT_ALERTS.map((alert) => {
    const rule = rules.find((candidate) => candidate.alert === alert);
    if (rule === undefined) throw new Error(`The rules have no alert ${alert}, which a roll-out must be judged by`);
    return { alert, expression: scoped(rule.expr, scope) };
  });
}

export type Scope = {
  readonly version: string;
  /** Replaces the ranges of the rules, in Prometheus's form (`2m`): a step of a roll-out is shorter than they are. */
  readonly window?: string | undefined;
};

/** Restricts an expression to the series of one version. Uses a PromQL parser, so it need not guess what is a metric name. */
export function scoped(expression: string, { version, window }: Scope): string {
  const matcher = `version=${JSON.stringify(version)}`;
  const edits: { from: number; to: number; text: string }[] = [];
  const cursor = parser.parse(expression).cursor();
  do {
    if (cursor.type.isError) throw new Error(`This is not valid PromQL: ${expression}`);
    if (cursor.name === 'VectorSelector') edits.push(withMatcher(cursor.node, matcher));
    if (cursor.name === 'MatrixSelector' && window !== undefined) {
      const range = cursor.node.lastChild;
      if (range !== null) edits.push({ from: range.from, to: range.to, text: window });
    }
  } while (cursor.next());
  return edits
    .sort((a, b) => b.from - a.from)
    .reduce((text, { from, to, text: inserted }) => text.slice(0, from) + inserted + text.slice(to), expression);
}

/** `up` → `up{version="green"}`, `up{job="x"}` → `up{version="green",job="x"}`. */
function withMatcher(selector: SyntaxNode, matcher: string) {
  const matchers = selector.getChild('LabelMatchers');
  if (matchers === null) return { from: selector.to, to: selector.to, text: `{${matcher}}` };
  const comma = matchers.firstChild === null ? '' : ',';
  return { from: matchers.from + 1, to: matchers.from + 1, text: matcher + comma };
}
