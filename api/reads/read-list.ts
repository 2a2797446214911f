import { listAccountLines, listAccounts, readAccount } from './accounts.ts';
import { readAgedReceivables } from './aged-receivables.ts';
import { readBalanceSheet } from './balance-sheet.ts';
import { readBankReconciliation } from './bank-reconciliation.ts';
import { listBankTransactions, readBankTransaction } from './bank-transactions.ts';
import { listUsers, readApprovalPolicies, readMe, readSettings, readUser } from './company.ts';
import { listCreditNotes, readCreditNote } from './credit-notes.ts';
import { listCustomers, readCustomer } from './customers.ts';
import { listEmployees, readEmployee } from './employees.ts';
import { listEntries, readEntry } from './entries.ts';
import { listEvents, readEvent } from './events.ts';
import { listFiscalYears, readFiscalYear } from './fiscal-years.ts';
import { listItems, readItem } from './inventory-items.ts';
import { listInvoices, readInvoice } from './invoices.ts';
import { listPayRuns, readPayRun } from './pay-runs.ts';
import { listPayments, readPayment } from './payments.ts';
import { readProfitAndLoss } from './profit-and-loss.ts';
import type { Read } from './read.ts';
import { listRefunds, readRefund } from './refunds.ts';
import { listReminders, readReminder } from './reminders.ts';
import { readSalesTax } from './sales-tax.ts';
import { listSecurityLog } from './security-log.ts';
import { listSettingsVersions } from './settings-history.ts';
import { listStockMovements } from './stock-movements.ts';
import { readTieOut } from './tie-out.ts';
import { readTrialBalance } from './trial-balance.ts';
import { listTriggers, readTrigger } from './triggers.ts';

/** Every read of resources. Reads of writes depend on the operations: see api/writes/list.ts and api/writes/status.ts. */
export const READS: readonly Read[] = [
  readMe,
  listUsers,
  readUser,
  readSettings,
  readApprovalPolicies,
  listSettingsVersions,
  listSecurityLog,
  listCustomers,
  readCustomer,
  listInvoices,
  readInvoice,
  listPayments,
  readPayment,
  listRefunds,
  readRefund,
  listCreditNotes,
  readCreditNote,
  listReminders,
  readReminder,
  listAccounts,
  readAccount,
  listAccountLines,
  listEntries,
  readEntry,
  readTrialBalance,
  listFiscalYears,
  readFiscalYear,
  listTriggers,
  readTrigger,
  listEvents,
  readEvent,
  readAgedReceivables,
  readProfitAndLoss,
  readBalanceSheet,
  readSalesTax,
  readBankReconciliation,
  listStockMovements,
  readTieOut,
  listBankTransactions,
  readBankTransaction,
  listEmployees,
  readEmployee,
  listPayRuns,
  readPayRun,
  listItems,
  readItem,
];
