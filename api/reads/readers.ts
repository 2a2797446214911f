import type { Role } from '../../activities/roles.ts';
import { ROLES } from '../../activities/roles.ts';

/** Those who read all there is. */
const ALL_BOOKS: readonly Role[] = ['owner', 'admin', 'accountant', 'auditor'];

/** Who may read what: the one table. Each read names its group. */
export const READERS = {
  /** Oneself. */
  self: ROLES,
  /** Whatever no other group opens to more: cancelled keys, and writes whose resource has no read of its own. */
  everything: ALL_BOOKS,
  /** Customers, invoices and payments. */
  sales: [...ALL_BOOKS, 'manager'],
  /** Accounts, entries and what they sum up to, but the entries of payroll. */
  ledger: [...ALL_BOOKS, 'manager'],
  /** Pay runs and the entries of payroll: they name what people are paid. */
  payroll: ALL_BOOKS,
  /** Employees and their terms. */
  employees: [...ALL_BOOKS, 'manager'],
  /** Items and their stock. */
  inventory: [...ALL_BOOKS, 'manager', 'inventory_manager'],
  /** The company's settings and members, its events (but those of pay runs) and what it had started. */
  company: [...ALL_BOOKS, 'manager'],
  /** The list of writes, of which each sees their own and those whose resource they may read. */
  writes: [...ALL_BOOKS, 'manager', 'inventory_manager'],
} as const satisfies Record<string, readonly Role[]>;

export type ReadGroup = keyof typeof READERS;
