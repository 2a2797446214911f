import type { Role } from '../../activities/roles.ts';
import { ROLES } from '../../activities/roles.ts';

/** May read everything. */
const ALL_BOOKS: readonly Role[] = ['owner', 'admin', 'accountant', 'auditor'];

/** The one table of who may read what. Each read names its group. */
export const READERS = {
  /** The caller. */
  self: ROLES,
  /** Everything that is in no other group: cancelled keys, and writes whose resource has no read. */
  everything: ALL_BOOKS,
  /** Customers, invoices and payments. */
  sales: [...ALL_BOOKS, 'manager'],
  /** Accounts, entries except those of payroll, and their sums. */
  ledger: [...ALL_BOOKS, 'manager'],
  /** Pay runs and the entries of payroll, which show salaries. */
  payroll: ALL_BOOKS,
  /** Employees and their terms. */
  employees: [...ALL_BOOKS, 'manager'],
  /** Items and their stock. */
  inventory: [...ALL_BOOKS, 'manager', 'inventory_manager'],
  /** The company's settings and members, its events except those of pay runs, and its triggered workflows. */
  company: [...ALL_BOOKS, 'manager'],
  /** The security log: who judges what others did, and not those whom it may tell of. */
  security: ['owner', 'auditor'],
  /** The list of writes. Each member sees their own and those whose resource they may read. */
  writes: [...ALL_BOOKS, 'manager', 'inventory_manager'],
} as const satisfies Record<string, readonly Role[]>;

export type ReadGroup = keyof typeof READERS;
