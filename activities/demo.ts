import { rowId, writeId } from './identity.ts';
import { ACCOUNTS } from './ledger/accounts.ts';

/**
 * The demo companies and their seed: ordinary requests with fixed keys, sent through the write path, so sending them again
 * only replays them. Fixed keys give fixed IDs, to which the operations' examples refer.
 */
export const DEMO_COMPANY_ID = '4d0c2e3a-7b1f-4e58-9c66-1a5b8f0d2e01';
export const GLOBEX_COMPANY_ID = '4d0c2e3a-7b1f-4e58-9c66-1a5b8f0d2e02';

const bankImport = writeId(DEMO_COMPANY_ID, 'importBankTransactions', 'seed:bank-transactions');
const corrected = writeId(DEMO_COMPANY_ID, 'createInvoice', 'seed:corrected-invoice');
const supplierEntry = writeId(DEMO_COMPANY_ID, 'createJournalEntry', 'seed:supplier-entry');
const insuranceEntry = writeId(DEMO_COMPANY_ID, 'createJournalEntry', 'seed:insurance-entry');

export const DEMO = {
  /** newcomer@demo.test, who is not a member yet. */
  newcomerId: '4d0c2e3a-7b1f-4e58-9c66-1a5b8f0d2e10',
  customerId: writeId(DEMO_COMPANY_ID, 'createCustomer', 'seed:customer'),
  discardableInvoiceId: writeId(DEMO_COMPANY_ID, 'createInvoice', 'seed:discardable-invoice'),
  draftInvoiceId: writeId(DEMO_COMPANY_ID, 'createInvoice', 'seed:draft-invoice'),
  finalizedInvoiceId: writeId(DEMO_COMPANY_ID, 'createInvoice', 'seed:finalized-invoice'),
  voidableInvoiceId: writeId(DEMO_COMPANY_ID, 'createInvoice', 'seed:voidable-invoice'),
  uncollectibleInvoiceId: writeId(DEMO_COMPANY_ID, 'createInvoice', 'seed:uncollectible-invoice'),
  writtenOffInvoiceId: writeId(DEMO_COMPANY_ID, 'createInvoice', 'seed:written-off-invoice'),
  partlyPaidInvoiceId: writeId(DEMO_COMPANY_ID, 'createInvoice', 'seed:partly-paid-invoice'),
  refundablePaymentId: writeId(DEMO_COMPANY_ID, 'createPayment', 'seed:payment'),
  voidablePaymentId: writeId(DEMO_COMPANY_ID, 'createPayment', 'seed:voidable-payment'),
  bouncedPaymentId: writeId(DEMO_COMPANY_ID, 'createPayment', 'seed:bounced-payment'),
  voidableRefundId: writeId(DEMO_COMPANY_ID, 'createRefund', 'seed:voidable-refund'),
  voidableCreditNoteId: writeId(DEMO_COMPANY_ID, 'createCreditNote', 'seed:voidable-credit-note'),
  mistakenEntryId: writeId(DEMO_COMPANY_ID, 'createJournalEntry', 'seed:mistaken-entry'),
  supplierBankLineId: rowId(supplierEntry, 'journal_lines', 0),
  supplierBankTransactionId: rowId(bankImport, 'bank_transactions', 0),
  chargeBankTransactionId: rowId(bankImport, 'bank_transactions', 1),
  reconciledBankTransactionId: rowId(bankImport, 'bank_transactions', 2),
  employeeId: writeId(DEMO_COMPANY_ID, 'createEmployee', 'seed:employee'),
  approvedPayRunId: writeId(DEMO_COMPANY_ID, 'createPayRun', 'seed:approved-pay-run'),
  draftPayRunId: writeId(DEMO_COMPANY_ID, 'createPayRun', 'seed:draft-pay-run'),
  itemId: writeId(DEMO_COMPANY_ID, 'createInventoryItem', 'seed:item'),
} as const;

export type SeedRequest = {
  readonly method: 'POST' | 'PATCH';
  readonly path: string;
  readonly key: string;
  readonly body: Readonly<Record<string, unknown>>;
};

export const DEMO_SEED: readonly SeedRequest[] = [
  {
    method: 'POST',
    path: '/api/customers',
    key: 'seed:customer',
    body: { name: 'Acme Wholesale', email: 'payables@acme.test', currency: 'USD', externalReference: 'CRM-1001' },
  },
  {
    method: 'POST',
    path: '/api/invoices',
    key: 'seed:draft-invoice',
    body: invoice('Quarterly review', '2', 45_000),
  },
  {
    method: 'POST',
    path: '/api/invoices',
    key: 'seed:discardable-invoice',
    body: invoice('Quarterly review', '2', 45_000),
  },
  {
    method: 'POST',
    path: '/api/invoices',
    key: 'seed:finalized-invoice',
    body: invoice('Annual accounts', '1', 10_000_000),
  },
  { method: 'POST', path: `/api/invoices/${DEMO.finalizedInvoiceId}/finalize`, key: 'seed:finalize', body: {} },
  ...finalized(DEMO.voidableInvoiceId, 'voidable-invoice', invoice('Payroll setup', '1', 60_000)),
  ...finalized(DEMO.uncollectibleInvoiceId, 'uncollectible-invoice', invoice('Tax return', '1', 40_000)),
  ...finalized(DEMO.writtenOffInvoiceId, 'written-off-invoice', invoice('Tax return', '1', 30_000)),
  {
    method: 'POST',
    path: `/api/invoices/${DEMO.writtenOffInvoiceId}/write-off`,
    key: 'seed:write-off',
    body: { amount: 32_475, reason: 'Insolvent', date: '2026-03-09' },
  },
  ...finalized(DEMO.partlyPaidInvoiceId, 'partly-paid-invoice', invoice('Group audit', '1', 100_000_000)),
  {
    method: 'POST',
    path: '/api/payments',
    key: 'seed:payment',
    body: {
      invoiceId: DEMO.partlyPaidInvoiceId,
      amount: 5_000,
      currency: 'USD',
      method: 'bank_transfer',
      receivedOn: '2026-02-20',
      reference: 'TRF-4690',
    },
  },
  ...finalized(corrected, 'corrected-invoice', invoice('Bookkeeping', '1', 100_000_000)),
  {
    method: 'POST',
    path: '/api/payments',
    key: 'seed:voidable-payment',
    body: payment(corrected, 5_000, 'bank_transfer'),
  },
  { method: 'POST', path: '/api/payments', key: 'seed:bounced-payment', body: payment(corrected, 6_000, 'check') },
  { method: 'POST', path: '/api/payments', key: 'seed:refunded-payment', body: payment(corrected, 20_000_000, 'card') },
  {
    method: 'POST',
    path: '/api/refunds',
    key: 'seed:voidable-refund',
    body: {
      paymentId: writeId(DEMO_COMPANY_ID, 'createPayment', 'seed:refunded-payment'),
      amount: 2_000,
      reason: 'Paid too much',
      date: '2026-03-02',
    },
  },
  {
    method: 'POST',
    path: `/api/invoices/${corrected}/credit-notes`,
    key: 'seed:voidable-credit-note',
    body: { lines: [{ lineNumber: 1, net: 1_000 }], reason: 'Discount', date: '2026-03-02' },
  },
  { method: 'POST', path: '/api/ledger/entries', key: 'seed:mistaken-entry', body: paid('Stationery', 4_200) },
  { method: 'POST', path: '/api/ledger/entries', key: 'seed:supplier-entry', body: paid('Office supplies', 12_750) },
  { method: 'POST', path: '/api/ledger/entries', key: 'seed:insurance-entry', body: paid('Insurance', 31_000) },
  {
    method: 'POST',
    path: '/api/bank-transactions/import',
    key: 'seed:bank-transactions',
    body: {
      transactions: [
        bankPayment('STMT-2026-02-0001', 'Office supplies', 12_750),
        bankPayment('STMT-2026-02-0002', 'Account fee', 1_500),
        bankPayment('STMT-2026-02-0003', 'Insurance', 31_000),
      ],
    },
  },
  {
    method: 'POST',
    path: `/api/ledger/reconcile/${DEMO.reconciledBankTransactionId}`,
    key: 'seed:reconcile',
    body: { matches: [{ journalLineId: rowId(insuranceEntry, 'journal_lines', 0) }] },
  },
  {
    method: 'POST',
    path: '/api/payroll/employees',
    key: 'seed:employee',
    body: {
      firstName: 'Sam',
      lastName: 'Example',
      email: 'sam@demo.test',
      annualSalary: 5_000_000,
      currency: 'USD',
      payFrequency: 'monthly',
      taxRateBasisPoints: 2000,
      deductions: [{ name: 'Pension', amount: 10_000, preTax: true }],
    },
  },
  { method: 'POST', path: '/api/payroll/pay-runs', key: 'seed:approved-pay-run', body: payRun(1, '2026-01-30') },
  {
    method: 'POST',
    path: '/api/payroll/pay-runs',
    key: 'seed:draft-pay-run',
    body: { ...payRun(2, '2026-02-27'), asDraft: true },
  },
  {
    method: 'POST',
    path: '/api/inventory/items',
    key: 'seed:item',
    body: {
      sku: 'LAMP-01',
      name: 'Desk lamp',
      currency: 'USD',
      openingQuantity: 100,
      openingUnitCost: 1_999,
      date: '2026-01-02',
    },
  },
];

function finalized(invoiceId: string, name: string, body: SeedRequest['body']): readonly SeedRequest[] {
  return [
    { method: 'POST', path: '/api/invoices', key: `seed:${name}`, body },
    { method: 'POST', path: `/api/invoices/${invoiceId}/finalize`, key: `seed:${name}:finalize`, body: {} },
  ];
}

function payment(invoiceId: string, amount: number, method: string) {
  return { invoiceId, amount, currency: 'USD', method, receivedOn: '2026-02-20' };
}

function payRun(periodNumber: number, payDate: string) {
  return { payFrequency: 'monthly', year: 2026, periodNumber, payDate, employeeIds: [DEMO.employeeId] };
}

function invoice(description: string, quantity: string, unitPrice: number) {
  return {
    customerId: DEMO.customerId,
    currency: 'USD',
    issueDate: '2026-02-02',
    dueDate: '2026-03-04',
    lines: [{ description, quantity, unitPrice, taxRateBasisPoints: 825 }],
  };
}

/** A manual entry; its first line is the bank account's. */
function paid(description: string, amount: number) {
  return {
    date: '2026-02-16',
    description,
    currency: 'USD',
    lines: [
      { accountCode: ACCOUNTS.bank, amount: -amount },
      { accountCode: ACCOUNTS.bankCharges, amount },
    ],
  };
}

function bankPayment(bankReference: string, description: string, amount: number) {
  return { bankReference, date: '2026-02-17', amount: -amount, currency: 'USD', description };
}
