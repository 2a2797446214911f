import { z } from 'zod';
import { amountAt } from '../approvals/amounts.ts';
import { DEMO } from '../demo.ts';
import { date, id } from '../fields.ts';
import { defineOperation } from '../operation.ts';
import { MAX_PAYSLIPS, payOfPeriod } from '../payroll/pay-of-period.ts';
import { PAY_FREQUENCIES, type PayFrequency } from '../resources/employee.ts';
import { PAY_RUN_COLUMNS, type PayRunRow, payRunResource, toPayRun } from '../resources/pay-run.ts';

const PERIODS_A_YEAR: Readonly<Record<PayFrequency, number>> = {
  weekly: 52,
  biweekly: 26,
  semimonthly: 24,
  monthly: 12,
};

const body = z
  .strictObject({
    payFrequency: z.enum(PAY_FREQUENCIES),
    year: z.int().min(1900).max(2999),
    periodNumber: z
      .int()
      .min(1)
      .max(52)
      .meta({ description: 'From 1 to the number of periods in a year: 52, 26, 24 or 12' }),
    payDate: date(),
    employeeIds: z.array(id()).min(1).max(MAX_PAYSLIPS).optional(),
    asDraft: z.boolean().default(false).meta({ description: 'Keeps the run a draft even if no approval is required' }),
  })
  .refine(({ payFrequency, periodNumber }) => periodNumber <= PERIODS_A_YEAR[payFrequency], {
    path: ['periodNumber'],
    message: 'must be one of the periods of a year: 52 weekly, 26 biweekly, 24 semimonthly, 12 monthly',
  })
  .refine(({ employeeIds = [] }) => new Set(employeeIds).size === employeeIds.length, {
    path: ['employeeIds'],
    message: 'must name each employee once',
  });

export const createPayRun = defineOperation({
  name: 'createPayRun',
  type: 'financial',
  summary: 'Create a pay run',
  description:
    'Takes a snapshot of all employees with that pay frequency, or of those in `employeeIds`, and computes their payslips by the ' +
    'terms that are in force on the first day of the period. Months and their halves begin on the 1st and the 16th; week k of a ' +
    'year begins 7·(k − 1) days after the 1st of January, pair of weeks k 14·(k − 1). Who left before that day is not paid. ' +
    'Executing the run pays exactly these payslips. The run is a draft, or approved at once if the company requires no ' +
    'approval. What the company requires at that moment holds for the run (`approvalRequired`). Nothing is posted yet.',
  method: 'POST',
  path: '/api/payroll/pay-runs',
  params: z.strictObject({}),
  body,
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 201,
  resource: payRunResource,
  event: 'pay_run.created',
  effects: { posts: 'never', makes: 'pay_runs' },
  rejections: {
    employee_not_found: { status: 422, title: 'There is no such employee', nextAction: 'fix_request' },
    no_employees: { status: 422, title: 'Nobody is paid in this frequency', nextAction: 'fix_request' },
    pay_frequency_mismatch: {
      status: 422,
      title: 'An employee is paid in another frequency',
      nextAction: 'fix_request',
    },
    employee_left: { status: 422, title: 'An employee has left before the period begins', nextAction: 'fix_request' },
    too_many_employees: { status: 422, title: 'More employees than one run may have', nextAction: 'fix_request' },
    currency_mismatch: {
      status: 422,
      title: 'The employees are paid in several currencies',
      nextAction: 'fix_request',
    },
    deductions_exceed_pay: { status: 422, title: 'An employee’s deductions are more than the pay' },
    nothing_to_pay: { status: 422, title: 'Nothing is paid in this period', nextAction: 'fix_request' },
  },
  constraints: {},
  examples: [
    {
      name: 'pay-run',
      summary: 'One employee’s month',
      params: {},
      body: {
        payFrequency: 'monthly',
        year: 2026,
        periodNumber: 4,
        payDate: '2026-04-30',
        employeeIds: [DEMO.employeeId],
      },
    },
    {
      name: 'everyone',
      summary: 'All employees who are paid monthly, as a draft for review',
      params: {},
      body: { payFrequency: 'monthly', year: 2026, periodNumber: 5, payDate: '2026-05-29', asDraft: true },
    },
  ],
  approvalAmount: amountAt('totals', 'gross'),
  summarize: ({ body: run }) => `createPayRun ${run.payFrequency} ${run.year}/${run.periodNumber}`,

  async write(tx, { body: run }, context) {
    const pay = await payOfPeriod(tx, run, context);
    // One statement: no payslip can come later. The employees are those of the sums, whoever was hired meanwhile, and locked.
    await tx.query(
      `WITH run AS (
         INSERT INTO pay_runs (company_id, id, status, pay_frequency, year, period_number, pay_date, currency,
           employee_count, gross_minor, pre_tax_deductions_minor, tax_minor, post_tax_deductions_minor, net_minor,
           employer_tax_minor, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, cardinality($9::uuid[]), $10, $11, $12, $13, $14, $15, $16)
       )
       INSERT INTO payslips (company_id, pay_run_id, employee_id, pay_frequency, year, period_number, currency,
         annual_salary_minor, tax_rate_basis_points, employer_tax_rate_basis_points, gross_minor,
         pre_tax_deductions_minor, tax_minor, post_tax_deductions_minor, net_minor, employer_tax_minor)
       SELECT $1, $2, p.employee_id, $4, $5, $6, $8, p.annual_salary_minor, p.tax_rate_basis_points, $17,
         p.gross_minor, p.pre_tax_deductions_minor, p.tax_minor, p.post_tax_deductions_minor, p.net_minor,
         p.employer_tax_minor
       FROM pay_of_period(
         p_company => $1, p_frequency => $4, p_year => $5, p_period => $6, p_employees => $9, p_employer_rate => $17
       ) AS p`,
      [
        context.companyId,
        context.writeId,
        pay.pay_run_approval_required || run.asDraft ? 'draft' : 'approved',
        run.payFrequency,
        run.year,
        run.periodNumber,
        run.payDate,
        pay.currency,
        pay.employee_ids,
        pay.gross_minor,
        pay.pre_tax_deductions_minor,
        pay.tax_minor,
        pay.post_tax_deductions_minor,
        pay.net_minor,
        pay.employer_tax_minor,
        context.userId,
        pay.employer_tax_rate_basis_points,
      ],
    );
    const [row] = await tx.query<PayRunRow>(
      `SELECT ${PAY_RUN_COLUMNS} FROM pay_runs r WHERE r.company_id = $1 AND r.id = $2`,
      [context.companyId, context.writeId],
    );
    if (row === undefined) throw new Error('Bug! The pay run that was just inserted does not exist');
    return { resourceId: row.id, body: toPayRun(row) };
  },
});
