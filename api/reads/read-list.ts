import { listAccountLines, listAccounts, readAccount } from './accounts.ts';
import { listUsers, readMe, readSettings } from './company.ts';
import { listCustomers, readCustomer } from './customers.ts';
import { listEmployees, readEmployee } from './employees.ts';
import { listEntries, readEntry } from './entries.ts';
import { listItems, readItem } from './inventory-items.ts';
import { listInvoices, readInvoice } from './invoices.ts';
import { listPayRuns, readPayRun } from './pay-runs.ts';
import { listPayments, readPayment } from './payments.ts';
import type { Read } from './read.ts';
import { readTrialBalance } from './trial-balance.ts';

/** Every read of resources. What is read of writes depends on the operations: write-list.ts and write-status.ts. */
export const READS: readonly Read[] = [
  readMe,
  listUsers,
  readSettings,
  listCustomers,
  readCustomer,
  listInvoices,
  readInvoice,
  listPayments,
  readPayment,
  listAccounts,
  readAccount,
  listAccountLines,
  listEntries,
  readEntry,
  readTrialBalance,
  listEmployees,
  readEmployee,
  listPayRuns,
  readPayRun,
  listItems,
  readItem,
];
