import { BANK_CONTROLS } from './bank.ts';
import type { Control } from './control.ts';
import { INVENTORY_CONTROLS } from './inventory.ts';
import { INVOICE_CONTROLS } from './invoices.ts';
import { LEDGER_CONTROLS } from './ledger.ts';
import { PAYROLL_CONTROLS } from './payroll.ts';
import { WRITE_OFF_CONTROLS } from './write-offs.ts';

/**
 * The controls of accounts, entries and documents. Those of the record read the list of operations, one of which asks for these:
 * so they are elsewhere (`controls.ts`).
 */
export const BOOKS_CONTROLS: readonly Control[] = [
  ...LEDGER_CONTROLS,
  ...INVOICE_CONTROLS,
  ...WRITE_OFF_CONTROLS,
  ...PAYROLL_CONTROLS,
  ...INVENTORY_CONTROLS,
  ...BANK_CONTROLS,
];

/** Those without which a month, or a fiscal year, is not closed. */
export const MONTH_CONTROLS = BOOKS_CONTROLS.filter(({ closesMonth }) => closesMonth);
