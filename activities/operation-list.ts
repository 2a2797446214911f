import type { Operation } from './operation.ts';
import { adjustInventory } from './operations/adjust-inventory.ts';
import { approvePayRun } from './operations/approve-pay-run.ts';
import { closeFiscalYear } from './operations/close-fiscal-year.ts';
import { createAccount } from './operations/create-account.ts';
import { createCreditNote } from './operations/create-credit-note.ts';
import { createCustomer } from './operations/create-customer.ts';
import { createEmployee } from './operations/create-employee.ts';
import { createInventoryItem } from './operations/create-inventory-item.ts';
import { createInvoice } from './operations/create-invoice.ts';
import { createJournalEntry } from './operations/create-journal-entry.ts';
import { createPayRun } from './operations/create-pay-run.ts';
import { createPayment } from './operations/create-payment.ts';
import { createRefund } from './operations/create-refund.ts';
import { discardInvoice } from './operations/discard-invoice.ts';
import { executePayroll } from './operations/execute-payroll.ts';
import { finalizeInvoice } from './operations/finalize-invoice.ts';
import { grantUserAccess } from './operations/grant-user-access.ts';
import { importBankTransactions } from './operations/import-bank-transactions.ts';
import { reconcileLedger } from './operations/reconcile-ledger.ts';
import { recordInvoiceReminder } from './operations/record-invoice-reminder.ts';
import { recoverWriteOff } from './operations/recover-write-off.ts';
import { reopenFiscalYear } from './operations/reopen-fiscal-year.ts';
import { reverseJournalEntry } from './operations/reverse-journal-entry.ts';
import { triggerWorkflow } from './operations/trigger-workflow.ts';
import { unreconcileBankTransaction } from './operations/unreconcile-bank-transaction.ts';
import { updateApprovalPolicies } from './operations/update-approval-policies.ts';
import { updateCompanySettings } from './operations/update-company-settings.ts';
import { updateCustomer } from './operations/update-customer.ts';
import { updateEmployee } from './operations/update-employee.ts';
import { updateInventoryItem } from './operations/update-inventory-item.ts';
import { voidCreditNote } from './operations/void-credit-note.ts';
import { voidInvoice } from './operations/void-invoice.ts';
import { voidPayRun } from './operations/void-pay-run.ts';
import { voidPayment } from './operations/void-payment.ts';
import { voidRefund } from './operations/void-refund.ts';
import { writeOffInvoice } from './operations/write-off-invoice.ts';

/** All operations. Routes, OpenAPI, tests, metrics and reference pages are derived from this list. */
export const OPERATIONS: readonly Operation[] = [
  createCustomer,
  createInvoice,
  finalizeInvoice,
  createPayment,
  updateCompanySettings,
  grantUserAccess,
  triggerWorkflow,
  voidInvoice,
  createCreditNote,
  createRefund,
  voidPayment,
  voidRefund,
  voidCreditNote,
  recordInvoiceReminder,
  createAccount,
  createJournalEntry,
  reverseJournalEntry,
  closeFiscalYear,
  reopenFiscalYear,
  importBankTransactions,
  reconcileLedger,
  unreconcileBankTransaction,
  createEmployee,
  updateEmployee,
  createPayRun,
  approvePayRun,
  executePayroll,
  voidPayRun,
  createInventoryItem,
  adjustInventory,
  updateApprovalPolicies,
  updateCustomer,
  discardInvoice,
  updateInventoryItem,
  writeOffInvoice,
  recoverWriteOff,
];
