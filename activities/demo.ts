import { writeId } from './identity.ts';

/**
 * The demo companies and what they are seeded with. The seed is a list of ordinary requests with fixed keys, sent through
 * the write path: sending it again only replays it. Fixed keys mean fixed IDs, which the examples of the operations name.
 */
export const DEMO_COMPANY_ID = '4d0c2e3a-7b1f-4e58-9c66-1a5b8f0d2e01';
export const GLOBEX_COMPANY_ID = '4d0c2e3a-7b1f-4e58-9c66-1a5b8f0d2e02';

export const DEMO = {
  customerId: writeId(DEMO_COMPANY_ID, 'createCustomer', 'seed:customer'),
  draftInvoiceId: writeId(DEMO_COMPANY_ID, 'createInvoice', 'seed:draft-invoice'),
  finalizedInvoiceId: writeId(DEMO_COMPANY_ID, 'createInvoice', 'seed:finalized-invoice'),
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
    key: 'seed:finalized-invoice',
    body: invoice('Annual accounts', '1', 10_000_000),
  },
  { method: 'POST', path: `/api/invoices/${DEMO.finalizedInvoiceId}/finalize`, key: 'seed:finalize', body: {} },
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
