import { z } from 'zod';
import { toWireAmount } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { calendarDate, currencyCode, instant, money, resourceId } from './members.ts';

/**
 * The terms of `employees e` by the day from which they hold, as JSON: null for those of the beginning. Of several versions for
 * one day, the latest. The amounts are JSON numbers: an amount is at most 10^13, which a JSON number represents exactly.
 */
export const TERMS_OF_EMPLOYEE = `(
    SELECT json_agg(json_build_object('effectiveFrom', nullif(t.effective_from, '-infinity'),
      'annualSalary', t.annual_salary_minor, 'currency', t.currency, 'payFrequency', t.pay_frequency,
      'taxRateBasisPoints', t.tax_rate_basis_points, 'deductions', t.deductions) ORDER BY t.effective_from)
    FROM (
      SELECT DISTINCT ON (v.effective_from) v.* FROM all_terms(e.company_id, e.id) AS v
      ORDER BY v.effective_from, v.version DESC
    ) AS t
  )`;

/** The API's form of an employee and its columns, from `employees e`. */
export const EMPLOYEE_COLUMNS = `e.id, e.first_name, e.last_name, e.email, e.left_on, e.created_at,
  company_today(e.company_id) AS today, ${TERMS_OF_EMPLOYEE} AS terms`;

export type EmployeeRow = {
  id: string;
  first_name: string;
  last_name: string;
  email: string;
  left_on: string | null;
  created_at: string;
  /** In the company's time zone. */
  today: string;
  terms: readonly Terms[];
};

export const PAY_FREQUENCIES = ['weekly', 'biweekly', 'semimonthly', 'monthly'] as const;
export type PayFrequency = (typeof PAY_FREQUENCIES)[number];

type Deduction = { readonly name: string; readonly amount: number; readonly preTax: boolean };

type Terms = {
  /** Null: from the beginning. */
  readonly effectiveFrom: string | null;
  readonly annualSalary: number;
  readonly currency: string;
  readonly payFrequency: PayFrequency;
  readonly taxRateBasisPoints: number;
  readonly deductions: readonly Deduction[];
};

export function toEmployee(row: EmployeeRow): z.output<typeof employeeSchema> {
  const terms = row.terms.map(({ effectiveFrom, ...others }) => ({ effectiveFrom, ...toTerms(others) }));
  // Dates of the form YYYY-MM-DD compare correctly as text.
  const current = row.terms.findLast(({ effectiveFrom }) => effectiveFrom === null || effectiveFrom <= row.today);
  if (current === undefined) throw new Error('Bug! An employee without terms of the beginning');
  return {
    id: row.id,
    firstName: row.first_name,
    lastName: row.last_name,
    email: row.email,
    ...toTerms(current),
    createdAt: row.created_at,
    leftOn: row.left_on,
    terms,
  };
}

function toTerms({
  annualSalary,
  currency,
  payFrequency,
  taxRateBasisPoints,
  deductions,
}: Omit<Terms, 'effectiveFrom'>) {
  return {
    annualSalary: toWireAmount(BigInt(annualSalary)),
    currency,
    payFrequency,
    taxRateBasisPoints,
    deductions: deductions.map(({ name, amount, preTax }) => ({ name, amount, preTax })),
  };
}

const termsMembers = {
  annualSalary: money(),
  currency: currencyCode(),
  payFrequency: z.enum(PAY_FREQUENCIES),
  taxRateBasisPoints: z.int().min(0).max(10_000),
  deductions: z
    .array(z.object({ name: z.string(), amount: money(), preTax: z.boolean() }))
    .meta({ description: 'Taken from the pay of each period' }),
};

/** The terms among the employee's own members are those of today, in the company's time zone. */
export const employeeSchema = z.object({
  id: resourceId(),
  firstName: z.string(),
  lastName: z.string(),
  email: z.string(),
  ...termsMembers,
  createdAt: instant(),
  leftOn: calendarDate()
    .nullable()
    .meta({ description: 'The last day; pay runs of periods that begin later do not pay this employee' }),
  terms: z
    .array(
      z.object({
        effectiveFrom: calendarDate().nullable().meta({ description: 'Null: from the beginning' }),
        ...termsMembers,
      }),
    )
    .meta({
      description: 'All terms by date, each in force until the next. A period is paid by those of its first day',
    }),
});

export const employeeResource: ResourceType = {
  type: 'employee',
  reads: '/api/payroll/employees',
  schema: employeeSchema,
};
