import type { Ask, Range } from './check.ts';
import type { SampledWrite } from './checks.ts';

/** Writes of these companies that were completed in the range, each as likely as any other, and how many there are. */
export async function sampleWrites(
  ask: Ask,
  companyIds: readonly string[],
  { from, to }: Range,
  count: number,
): Promise<{ readonly sample: readonly SampledWrite[]; readonly of: number }> {
  const values = [companyIds, from, to];
  const where = `company_id = ANY ($1)
    AND ($2::date IS NULL OR completed_at >= $2::date::timestamptz)
    AND ($3::date IS NULL OR completed_at < ($3::date + 1)::timestamptz)`;
  const sample = await ask<SampledWrite>(
    `SELECT company_id AS "companyId", idempotency_key AS key, write_id AS "writeId"
     FROM idempotent_writes WHERE ${where} ORDER BY random() LIMIT $4`,
    [...values, count],
  );
  const [all] = await ask<{ of: number }>(
    `SELECT count(*)::integer AS of FROM idempotent_writes WHERE ${where}`,
    values,
  );
  return { sample, of: all?.of ?? 0 };
}

/**
 * The largest share of all writes that may have a finding, at a confidence of 95 %: with a larger one, a sample of `sampled`
 * writes would have as few as `found` bad ones in less than 5 of 100 cases (Clopper–Pearson, one-sided). Without any it is
 * 1 − 0.05^(1 / sampled), close to 3 / sampled.
 */
export function largestShare({ sampled, found, of }: { sampled: number; found: number; of: number }): number {
  if (sampled >= of) return of === 0 ? 0 : found / of;
  if (found >= sampled) return 1;
  let [low, high] = [found / sampled, 1];
  while (high - low > 1e-9) {
    const middle = (low + high) / 2;
    if (chanceOfAtMost(found, sampled, middle) < 1 - CONFIDENCE) high = middle;
    else low = middle;
  }
  return high;
}

export const CONFIDENCE = 0.95;

/** Of at most `found` bad ones among `sampled`, each of them bad with that chance. */
function chanceOfAtMost(found: number, sampled: number, chance: number): number {
  let term = sampled * Math.log1p(-chance);
  let sum = Math.exp(term);
  for (let bad = 1; bad <= found; bad += 1) {
    term += Math.log((sampled - bad + 1) / bad) + Math.log(chance) - Math.log1p(-chance);
    sum += Math.exp(term);
  }
  return sum;
}
