import type { Control } from '../control.ts';
import { BANK_ANSWERS } from './bank.ts';
import { COMPANY_ANSWERS } from './company.ts';
import { LEDGER_ANSWERS } from './ledger.ts';
import { PAYROLL_ANSWERS } from './payroll.ts';
import { SALES_ANSWERS } from './sales.ts';
import { WRITE_OFF_ANSWERS } from './write-offs.ts';

/**
 * Rows against the answers stored for them. They see what a change by SQL did to a row and to all that its sums depend on. What
 * a later operation may have changed since is left out, or follows from the answer of that operation.
 */
export const ANSWER_CONTROLS: readonly Control[] = [
  ...SALES_ANSWERS,
  ...WRITE_OFF_ANSWERS,
  ...LEDGER_ANSWERS,
  ...BANK_ANSWERS,
  ...PAYROLL_ANSWERS,
  ...COMPANY_ANSWERS,
];
