import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';
import { parse } from 'yaml';

/** A reason to end a roll-out: an alert of the rules file, asked of one version alone. */
export type Criterion = { readonly alert: string; readonly expression: string };

/**
 * The alerts that can speak against a version. The others are about the database, the books or clients, which both versions
 * share: they are as true of the one that is left as of the one that comes. Of a name that the rules have twice, the first
 * counts, which is the one that calls someone.
 */
export const ROLLOUT_ALERTS = [
  'WritesFailing',
  'WritesSlow',
  'WriteRecordMissing',
  'WorkflowTasksFailing',
  'DatabasePoolNearlyFull',
] as const;

type Rules = { groups: readonly { rules: readonly { alert?: string; expr: string }[] }[] };

/** The criteria of a rules file (YAML, as Prometheus reads it). Throws where the file lacks one of them. */
export function readCriteria(rulesFile: string, scope: Scope): Criterion[] {
  const rules = (parse(rulesFile) as Rules).groups.flatMap((group) => group.rules);
  return ROLLOUT_ALERTS.map((alert) => {
    const rule = rules.find((candidate) => candidate.alert === alert);
    if (rule === undefined) throw new Error(`The rules have no alert ${alert}: a roll-out would not be judged by it`);
    return { alert, expression: scoped(rule.expr, scope) };
  });
}

export type Scope = {
  readonly version: string;
  /** In place of the ranges of the rules, as Prometheus writes them (`2m`): a step of a roll-out is shorter than they are. */
  readonly window?: string | undefined;
};

/** The same expression, of the series of one version only. By the grammar of PromQL itself: no guess at what is a name. */
export function scoped(expression: string, { version, window }: Scope): string {
  const matcher = `version=${JSON.stringify(version)}`;
  const edits: { from: number; to: number; text: string }[] = [];
  const cursor = parser.parse(expression).cursor();
  do {
    if (cursor.type.isError) throw new Error(`This is no PromQL: ${expression}`);
    if (cursor.name === 'VectorSelector') edits.push(withMatcher(cursor.node, matcher));
    if (cursor.name === 'MatrixSelector' && window !== undefined) {
      const range = cursor.node.lastChild;
      if (range !== null) edits.push({ from: range.from, to: range.to, text: window });
    }
  } while (cursor.next());
  return edits
    .sort((a, b) => b.from - a.from)
    .reduce((text, { from, to, text: put }) => text.slice(0, from) + put + text.slice(to), expression);
}

/** `up` → `up{version="green"}`, `up{job="x"}` → `up{version="green",job="x"}`. */
function withMatcher(selector: SyntaxNode, matcher: string) {
  const matchers = selector.getChild('LabelMatchers');
  if (matchers === null) return { from: selector.to, to: selector.to, text: `{${matcher}}` };
  const comma = matchers.firstChild === null ? '' : ',';
  return { from: matchers.from + 1, to: matchers.from + 1, text: matcher + comma };
}
