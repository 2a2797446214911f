import type { Operation } from './operation.ts';
import { adjustInventory } from './operations/adjust-inventory.ts';
import { approvePayRun } from './operations/approve-pay-run.ts';
import { createCustomer } from './operations/create-customer.ts';
import { createEmployee } from './operations/create-employee.ts';
import { createInventoryItem } from './operations/create-inventory-item.ts';
import { createInvoice } from './operations/create-invoice.ts';
import { createPayRun } from './operations/create-pay-run.ts';
import { createPayment } from './operations/create-payment.ts';
import { executePayroll } from './operations/execute-payroll.ts';
import { finalizeInvoice } from './operations/finalize-invoice.ts';

/** Every operation there is. Routes, OpenAPI, tests, metrics and reference follow from this list. */
export const OPERATIONS: readonly Operation[] = [
  createCustomer,
  createInvoice,
  finalizeInvoice,
  createPayment,
  createEmployee,
  createPayRun,
  approvePayRun,
  executePayroll,
  createInventoryItem,
  adjustInventory,
];
