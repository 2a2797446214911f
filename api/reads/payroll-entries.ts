import { holdsOneOf } from '../../activities/roles.ts';
import type { Filter } from './page.ts';
import { READERS } from './readers.ts';

/** The operations whose entries name what people earn. Only their sums are in what everyone reads of the ledger. */
const PAYROLL_OPERATIONS = ['executePayroll'];

/** Leaves the entries of payroll out of a list for those who may not read them. */
export function withoutPayroll(roles: readonly string[]): Filter {
  return ['operation <> ALL (?::text[])', holdsOneOf(roles, READERS.payroll) ? undefined : PAYROLL_OPERATIONS];
}
