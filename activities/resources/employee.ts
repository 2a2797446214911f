import { z } from 'zod';
import { toWireAmount } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { currencyCode, instant, money, resourceId } from './members.ts';

/** The columns of an employee’s own row. */
export const EMPLOYEE_ROW_COLUMNS = `e.id, e.first_name, e.last_name, e.email, e.annual_salary_minor, e.currency,
  e.pay_frequency, e.tax_rate_basis_points, e.created_at`;

/** The API's form of an employee and its columns, from `employees e`. */
export const EMPLOYEE_COLUMNS = `${EMPLOYEE_ROW_COLUMNS}, (
    SELECT coalesce(json_agg(json_build_object('name', d.name, 'amount', d.amount_minor, 'preTax', d.pre_tax)
      ORDER BY d.position), '[]')
    FROM employee_deductions d WHERE d.company_id = e.company_id AND d.employee_id = e.id
  ) AS deductions`;

export type EmployeeRow = {
  id: string;
  first_name: string;
  last_name: string;
  email: string;
  annual_salary_minor: bigint;
  currency: string;
  pay_frequency: PayFrequency;
  tax_rate_basis_points: number;
  created_at: string;
  /** As JSON numbers: an amount is at most 10^13, which a JSON number represents exactly. */
  deductions: readonly Deduction[];
};

export const PAY_FREQUENCIES = ['weekly', 'biweekly', 'semimonthly', 'monthly'] as const;
export type PayFrequency = (typeof PAY_FREQUENCIES)[number];

type Deduction = { readonly name: string; readonly amount: number; readonly preTax: boolean };

export function toEmployee(row: EmployeeRow): z.output<typeof employeeSchema> {
  return {
    id: row.id,
    firstName: row.first_name,
    lastName: row.last_name,
    email: row.email,
    annualSalary: toWireAmount(row.annual_salary_minor),
    currency: row.currency,
    payFrequency: row.pay_frequency,
    taxRateBasisPoints: row.tax_rate_basis_points,
    deductions: row.deductions.map(({ name, amount, preTax }) => ({ name, amount, preTax })),
    createdAt: row.created_at,
  };
}

export const employeeSchema = z.object({
  id: resourceId(),
  firstName: z.string(),
  lastName: z.string(),
  email: z.string(),
  annualSalary: money(),
  currency: currencyCode(),
  payFrequency: z.enum(PAY_FREQUENCIES),
  taxRateBasisPoints: z.int().min(0).max(10_000),
  deductions: z
    .array(z.object({ name: z.string(), amount: money(), preTax: z.boolean() }))
    .meta({ description: 'Taken from the pay of each period' }),
  createdAt: instant(),
});

export const employeeResource: ResourceType = {
  type: 'employee',
  reads: '/api/payroll/employees',
  schema: employeeSchema,
};
