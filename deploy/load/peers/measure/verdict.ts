import type { Rows } from '../contenders/contender.ts';
import type { Answers } from './answers.ts';

/** What the database says of the answers. Each count but the first must be zero. */
export type Verdict = {
  readonly acknowledged: number;
  /** Acknowledged, but there is no payment. */
  readonly missing: number;
  /** More payments than one for a key, answered or not, and payments that no key accounts for. */
  readonly twice: number;
  /** Two answers for one key, or one that is not the payment in the database. */
  readonly answeredDifferently: number;
  /** A payment without exactly two lines that sum to zero and one audit row. */
  readonly incomplete: number;
};

export function judge(answers: Answers, { ofKeys, strays }: Rows): Verdict {
  const verdict = { acknowledged: 0, missing: 0, twice: strays, answeredDifferently: 0, incomplete: 0 };
  for (const { key, payments, paymentId, lines, sumMinor, auditRows } of ofKeys) {
    const ids = answers.get(key) ?? new Set();
    if (ids.size > 0) verdict.acknowledged += 1;
    if (ids.size > 0 && payments === 0) verdict.missing += 1;
    if (payments > 1) verdict.twice += payments - 1;
    const differs = ids.size > 1 || (ids.size === 1 && payments === 1 && !ids.has(paymentId ?? ''));
    if (differs) verdict.answeredDifferently += 1;
    if (payments === 1 && (lines !== 2 || sumMinor !== 0 || auditRows !== 1)) verdict.incomplete += 1;
  }
  return verdict;
}

export function sumOf(verdicts: readonly Verdict[]): Verdict {
  const sum = (count: (verdict: Verdict) => number) => verdicts.reduce((total, verdict) => total + count(verdict), 0);
  return {
    acknowledged: sum(({ acknowledged }) => acknowledged),
    missing: sum(({ missing }) => missing),
    twice: sum(({ twice }) => twice),
    answeredDifferently: sum(({ answeredDifferently }) => answeredDifferently),
    incomplete: sum(({ incomplete }) => incomplete),
  };
}

export function contradictionsIn(verdict: Verdict): string[] {
  const mustBeZero = {
    missing: verdict.missing,
    'made twice': verdict.twice,
    'answered differently': verdict.answeredDifferently,
    incomplete: verdict.incomplete,
  };
  return Object.entries(mustBeZero)
    .filter(([, count]) => count !== 0)
    .map(([what, count]) => `${count} ${what}`);
}
