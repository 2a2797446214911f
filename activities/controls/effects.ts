/** What a success of an operation leaves behind. */
type Effects = {
  /** Whether it posts an entry: each time, only in some cases, or never. */
  readonly posts: 'always' | 'sometimes' | 'never';
  /** The table of the row that has the write's ID; without one, it only changes what is there. */
  readonly makes?: string;
};

/** Every operation (`test/system/controls.test.ts` holds it to the list). */
export const EFFECTS: Readonly<Record<string, Effects>> = {
  createCustomer: { posts: 'never', makes: 'customers' },
  createInvoice: { posts: 'never', makes: 'invoices' },
  finalizeInvoice: { posts: 'always' },
  createPayment: { posts: 'always', makes: 'payments' },
  updateCompanySettings: { posts: 'never' },
  grantUserAccess: { posts: 'never' },
  triggerWorkflow: { posts: 'never', makes: 'workflow_triggers' },
  voidInvoice: { posts: 'always' },
  createCreditNote: { posts: 'always', makes: 'credit_notes' },
  createRefund: { posts: 'always', makes: 'refunds' },
  recordInvoiceReminder: { posts: 'never', makes: 'invoice_reminders' },
  createAccount: { posts: 'never', makes: 'accounts' },
  createJournalEntry: { posts: 'always', makes: 'journal_entries' },
  reverseJournalEntry: { posts: 'always', makes: 'journal_entries' },
  importBankTransactions: { posts: 'never' },
  reconcileLedger: { posts: 'sometimes' },
  unreconcileBankTransaction: { posts: 'never' },
  createEmployee: { posts: 'never', makes: 'employees' },
  createPayRun: { posts: 'never', makes: 'pay_runs' },
  approvePayRun: { posts: 'never' },
  executePayroll: { posts: 'always' },
  createInventoryItem: { posts: 'sometimes', makes: 'inventory_items' },
  adjustInventory: { posts: 'always', makes: 'inventory_movements' },
};
