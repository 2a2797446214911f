import { randomUUID } from 'node:crypto';
import type { Company } from './companies.ts';

/** The employee of the books' example: 5,000,000 a year, monthly, a fifth of it tax, 10,000 before tax. */
export function employeeBody(changes: Readonly<Record<string, unknown>> = {}) {
  return {
    firstName: 'Sam',
    lastName: 'Example',
    email: `${randomUUID()}@example.test`,
    annualSalary: 5_000_000,
    currency: 'USD',
    payFrequency: 'monthly',
    taxRateBasisPoints: 2000,
    deductions: [{ name: 'Pension', amount: 10_000, preTax: true }],
    ...changes,
  };
}

export function payRunBody(changes: Readonly<Record<string, unknown>> = {}) {
  return { payFrequency: 'monthly', year: 2026, periodNumber: 1, payDate: '2026-01-30', ...changes };
}

/** Answers the employee's ID. */
export async function hire(company: Company, changes: Readonly<Record<string, unknown>> = {}): Promise<string> {
  return (await company.api.created('/api/payroll/employees', employeeBody(changes))).id;
}

export function payRun(company: Company, changes: Readonly<Record<string, unknown>> = {}) {
  return company.api.created('/api/payroll/pay-runs', payRunBody(changes));
}

export async function executedPayRun(company: Company) {
  await hire(company);
  const { id } = await payRun(company);
  return company.api.created(`/api/payroll/pay-runs/${id}/execute`, {});
}

/** An item in USD with ten units, which have cost 1,003 in all. */
export async function stockedItem(company: Company) {
  const item = await company.api.created('/api/inventory/items', { sku: randomUUID(), name: 'Lamp', currency: 'USD' });
  const delivery = { quantityDelta: 7, unitCost: 100, reason: 'Delivery', date: '2026-02-02' };
  await company.api.created(`/api/inventory/${item.id}/adjust`, delivery);
  return company.api.created(`/api/inventory/${item.id}/adjust`, { ...delivery, quantityDelta: 3, unitCost: 101 });
}
