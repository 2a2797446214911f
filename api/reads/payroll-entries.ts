import { holdsOneOf } from '../../activities/roles.ts';
import type { Filter } from './page.ts';
import { READERS } from './readers.ts';

/** The operations whose entries show salaries. Readers of the ledger see only sums of these entries. */
export const PAYROLL_OPERATIONS: readonly string[] = ['executePayroll', 'voidPayRun'];

/** Excludes payroll entries from a list for those who may not read them. */
export function withoutPayroll(roles: readonly string[]): Filter {
  return ['operation <> ALL (?::text[])', holdsOneOf(roles, READERS.payroll) ? undefined : PAYROLL_OPERATIONS];
}
