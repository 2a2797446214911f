/** The accounts that every company begins with (`create_company`) and that an operation or a control names itself. */
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
