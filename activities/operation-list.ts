import type { Operation } from './operation.ts';
import { createAccount } from './operations/create-account.ts';
import { createCustomer } from './operations/create-customer.ts';
import { createInvoice } from './operations/create-invoice.ts';
import { createJournalEntry } from './operations/create-journal-entry.ts';
import { createPayment } from './operations/create-payment.ts';
import { finalizeInvoice } from './operations/finalize-invoice.ts';
import { importBankTransactions } from './operations/import-bank-transactions.ts';
import { reconcileLedger } from './operations/reconcile-ledger.ts';
import { reverseJournalEntry } from './operations/reverse-journal-entry.ts';
import { unreconcileBankTransaction } from './operations/unreconcile-bank-transaction.ts';

/** Every operation there is. Routes, OpenAPI, tests, metrics and reference follow from this list. */
export const OPERATIONS: readonly Operation[] = [
  createCustomer,
  createInvoice,
  finalizeInvoice,
  createPayment,
  createAccount,
  createJournalEntry,
  reverseJournalEntry,
  importBankTransactions,
  reconcileLedger,
  unreconcileBankTransaction,
];
