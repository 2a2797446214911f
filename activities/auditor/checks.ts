import type { SealKeys } from '../seal/published-head.ts';
import type { AuditCheck } from './check.ts';
import { CONTROL_CHECKS, controlChecksOf } from './controls-check.ts';
import { REQUESTS_CHECK } from './requests-check.ts';
import { EPOCHS_CHECK, headsCheck, SEALS_CHECK, UNSEALED_CHECK } from './seals-check.ts';
import { COMPANIES_CHECK, DOUBLES_CHECK, STRAYS_CHECK } from './strays-check.ts';
import { writesCheck } from './writes-check.ts';

/** Of the records of the writes, without the books. */
export const RECORD_CHECKS: readonly AuditCheck[] = [
  writesCheck(),
  REQUESTS_CHECK,
  STRAYS_CHECK,
  DOUBLES_CHECK,
  COMPANIES_CHECK,
];

/**
 * What the auditor asks the database. The writes come first: they take longest, and their number is the progress. `keys`: those
 * that somebody has kept, by which heads have to be signed.
 */
export function databaseChecks(keys?: SealKeys): readonly AuditCheck[] {
  return [...RECORD_CHECKS, SEALS_CHECK, EPOCHS_CHECK, headsCheck(keys), UNSEALED_CHECK, ...CONTROL_CHECKS];
}

export const DATABASE_CHECKS: readonly AuditCheck[] = databaseChecks();

export type SampledWrite = { readonly companyId: string; readonly key: string; readonly writeId: string | null };

/** What can be asked of some writes alone. */
export function checksOf(sample: readonly SampledWrite[]): readonly AuditCheck[] {
  const keys = byCompany(sample, ({ key }) => key);
  const writeIds = byCompany(sample, ({ writeId }) => writeId ?? undefined);
  return [writesCheck({ keys }), ...controlChecksOf(writeIds)];
}

function byCompany(
  sample: readonly SampledWrite[],
  valueIn: (write: SampledWrite) => string | undefined,
): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, string[]>();
  for (const write of sample) {
    const value = valueIn(write);
    const known = values.get(write.companyId) ?? [];
    if (value !== undefined) known.push(value);
    values.set(write.companyId, known);
  }
  return values;
}
