/**
 * What an operation uses an account for. Every company has one account of each role, by which operations find it; a company's
 * own accounts have none. A role never changes.
 */
export const ACCOUNT_ROLES = [
  'bank',
  'receivable',
  'inventory',
  'payable',
  'sales_tax',
  'payroll_taxes',
  'payroll_deductions',
  'wages_payable',
  'owners_equity',
  'retained_earnings',
  'sales',
  'cost_of_goods_sold',
  'inventory_adjustments',
  'wages',
  'employer_tax',
  'bad_debts',
  'bank_charges',
] as const;

export type AccountRole = (typeof ACCOUNT_ROLES)[number];

/**
 * The codes of accounts that every company has had from its first day on, so that none has an account of its own with one of
 * them: for defaults of requests, which are part of a fingerprint, and for controls. Accounts of roles that came later
 * (retained_earnings, bad_debts) have other codes in some companies.
 */
export const ACCOUNTS = {
  bank: '1000',
  receivable: '1100',
  inventory: '1200',
  payable: '2000',
  salesTax: '2100',
  payrollTaxes: '2200',
  payrollDeductions: '2210',
  wagesPayable: '2220',
  equity: '3000',
  sales: '4000',
  inventoryAdjustments: '5100',
  wages: '6000',
  employerTax: '6010',
  bankCharges: '6900',
} as const;
