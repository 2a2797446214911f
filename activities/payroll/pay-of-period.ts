import type { Tx } from '../database.ts';
import type { WriteContext } from '../operation.ts';
import type { PayFrequency } from '../resources/employee.ts';

/** Bounds the size of a run's answer and of its transaction. */
export const MAX_PAYSLIPS = 5_000;

export type PayPeriod = {
  readonly payFrequency: PayFrequency;
  readonly year: number;
  readonly periodNumber: number;
  /** All employees with that pay frequency on the first day of the period when left out. */
  readonly employeeIds?: readonly string[] | undefined;
};

/** The settings that a pay run depends on. */
type Settings = {
  employer_tax_rate_basis_points: number;
  pay_run_approval_required: boolean;
};

/** The sums of a pay run over its employees (`pay_of_period`). */
type Sums = {
  /** Sorted; null when there are none. */
  employee_ids: string[] | null;
  other_frequency_id: string | null;
  left_id: string | null;
  currencies: string[] | null;
  exceeded_id: string | null;
  gross_minor: bigint | null;
  pre_tax_deductions_minor: bigint | null;
  tax_minor: bigint | null;
  post_tax_deductions_minor: bigint | null;
  net_minor: bigint | null;
  employer_tax_minor: bigint | null;
};

/** Why a period cannot be paid. */
type Unpayable =
  | 'employee_not_found'
  | 'no_employees'
  | 'pay_frequency_mismatch'
  | 'employee_left'
  | 'too_many_employees'
  | 'currency_mismatch'
  | 'deductions_exceed_pay'
  | 'nothing_to_pay';

/**
 * Computes the pay of a period by the terms of its first day, summed over its employees. They are locked first: their terms stay
 * as they are until the COMMIT. Throws a rejection when the period cannot be paid.
 */
export async function payOfPeriod(
  tx: Tx,
  period: PayPeriod,
  context: WriteContext<Unpayable>,
): Promise<Settings & Sums & { employee_ids: string[]; currency: string }> {
  const { payFrequency, year, periodNumber, employeeIds } = period;
  const [company] = await tx.query<Settings>(
    'SELECT employer_tax_rate_basis_points, pay_run_approval_required FROM companies WHERE id = $1 FOR SHARE',
    [context.companyId],
  );
  if (company === undefined) throw new Error('Bug! The company has no row');
  const [locked] = await tx.query<{ ids: string[] }>(
    `SELECT lock_employees_to_pay(
       p_company => $1, p_frequency => $2, p_year => $3, p_period => $4, p_employees => $5
     ) AS ids`,
    [context.companyId, payFrequency, year, periodNumber, employeeIds ?? null],
  );
  const [pay] = await tx.query<Sums>(
    `SELECT array_agg(p.employee_id ORDER BY p.employee_id) AS employee_ids,
       (array_agg(p.employee_id ORDER BY p.employee_id) FILTER (WHERE p.pay_frequency <> $2))[1] AS other_frequency_id,
       (array_agg(p.employee_id ORDER BY p.employee_id) FILTER (WHERE p.has_left))[1] AS left_id,
       array_agg(DISTINCT p.currency) AS currencies,
       (array_agg(p.employee_id ORDER BY p.employee_id)
         FILTER (WHERE p.pre_tax_deductions_minor > p.gross_minor OR p.net_minor < 0))[1] AS exceeded_id,
       sum(p.gross_minor)::bigint AS gross_minor,
       sum(p.pre_tax_deductions_minor)::bigint AS pre_tax_deductions_minor,
       sum(p.tax_minor)::bigint AS tax_minor,
       sum(p.post_tax_deductions_minor)::bigint AS post_tax_deductions_minor,
       sum(p.net_minor)::bigint AS net_minor,
       sum(p.employer_tax_minor)::bigint AS employer_tax_minor
     FROM pay_of_period(
       p_company => $1, p_frequency => $2, p_year => $3, p_period => $4, p_employees => $5, p_employer_rate => $6
     ) AS p`,
    [context.companyId, payFrequency, year, periodNumber, locked?.ids ?? [], company.employer_tax_rate_basis_points],
  );
  if (pay === undefined) throw new Error('Bug! An aggregate without a row');
  return { ...company, ...pay, ...requirePayable(pay, period, context) };
}

function requirePayable(
  pay: Sums,
  { payFrequency, year, periodNumber, employeeIds }: PayPeriod,
  context: WriteContext<Unpayable>,
) {
  const found = new Set(pay.employee_ids);
  const missing = employeeIds?.findIndex((id) => !found.has(id)) ?? -1;
  if (missing !== -1) {
    throw context.reject(
      'employee_not_found',
      `There is no employee ${employeeIds?.[missing]}.`,
      `/employeeIds/${missing}`,
    );
  }
  /** Points to the employee in the request. */
  const pointer = (id: string) =>
    employeeIds === undefined ? undefined : (`/employeeIds/${employeeIds.indexOf(id)}` as const);
  const [currency, otherCurrency] = pay.currencies ?? [];
  const period = `${payFrequency} ${year}/${periodNumber}`;
  if (pay.employee_ids === null || currency === undefined) {
    throw context.reject('no_employees', `No employee is paid in ${period}.`, '/payFrequency');
  }
  if (pay.other_frequency_id !== null) {
    throw context.reject(
      'pay_frequency_mismatch',
      `Employee ${pay.other_frequency_id} is not paid ${payFrequency} on the first day of ${period}.`,
      pointer(pay.other_frequency_id),
    );
  }
  if (pay.left_id !== null) {
    throw context.reject(
      'employee_left',
      `Employee ${pay.left_id} has left before ${period} begins.`,
      pointer(pay.left_id),
    );
  }
  if (pay.employee_ids.length > MAX_PAYSLIPS) {
    throw context.reject(
      'too_many_employees',
      `A run can have at most ${MAX_PAYSLIPS} employees: name those to pay in employeeIds.`,
      '/employeeIds',
    );
  }
  if (otherCurrency !== undefined) {
    throw context.reject(
      'currency_mismatch',
      `The employees are paid in ${pay.currencies?.join(' and ')}.`,
      '/employeeIds',
    );
  }
  if (pay.exceeded_id !== null) {
    throw context.reject(
      'deductions_exceed_pay',
      `The deductions of employee ${pay.exceeded_id} are more than the pay of this period.`,
      pointer(pay.exceeded_id),
    );
  }
  if (pay.gross_minor === 0n) {
    throw context.reject('nothing_to_pay', 'The pay of this period is less than one minor unit for each employee.');
  }
  return { employee_ids: pay.employee_ids, currency };
}
