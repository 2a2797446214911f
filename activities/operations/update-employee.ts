import { z } from 'zod';
import type { Tx } from '../database.ts';
import { DEMO } from '../demo.ts';
import { amount, basisPoints, currency, date, email, id, name } from '../fields.ts';
import { defineOperation, type WriteContext } from '../operation.ts';
import { deductions, payFrequency } from '../payroll/terms-fields.ts';
import { EMPLOYEE_COLUMNS, type EmployeeRow, employeeResource, toEmployee } from '../resources/employee.ts';

/** How often the terms of an employee may change; an answer has all of them. */
const MAX_CHANGES_OF_TERMS = 100;

const terms = z.object({
  annualSalary: amount().optional(),
  currency: currency().optional(),
  payFrequency: payFrequency().optional(),
  taxRateBasisPoints: basisPoints().optional(),
  deductions: deductions().optional(),
});
const TERMS = Object.keys(terms.shape) as readonly (keyof typeof terms.shape)[];

const body = z
  .strictObject({
    firstName: name().optional(),
    lastName: name().optional(),
    email: email().optional(),
    effectiveFrom: date()
      .optional()
      .meta({ description: 'The first day of the terms that are given, any day of the past or future' }),
    ...terms.shape,
    leftOn: date()
      .nullable()
      .optional()
      .meta({ description: 'The last day; periods that begin later are not paid. Null: is there after all' }),
  })
  .refine((given) => Object.values(given).some((value) => value !== undefined), {
    message: 'must change something',
  })
  .refine((given) => given.effectiveFrom !== undefined || !changesTerms(given), {
    path: ['effectiveFrom'],
    message: 'must say from which day on the terms hold',
  })
  .refine((given) => given.effectiveFrom === undefined || changesTerms(given), {
    path: ['effectiveFrom'],
    message: `must come with terms: ${TERMS.join(', ')}`,
  })
  .refine(
    (given) => given.currency === undefined || (given.annualSalary !== undefined && given.deductions !== undefined),
    { path: ['currency'], message: 'must come with annualSalary and deductions, which are amounts of it' },
  );

function changesTerms(given: z.output<typeof terms>): boolean {
  return TERMS.some((member) => given[member] !== undefined);
}

export const updateEmployee = defineOperation({
  name: 'updateEmployee',
  type: 'high-risk',
  summary: 'Change an employee',
  description:
    'Changes what is given. Terms (`annualSalary`, `currency`, `payFrequency`, `taxRateBasisPoints`, `deductions`) hold from ' +
    '`effectiveFrom` on, until later ones do; those that are not given are as they are on that day. A period is paid by the terms ' +
    'that are in force on its first day, as a whole; `payFrequency` changes on a day on which a period of both frequencies begins. ' +
    'Terms for a day that has some already take their place; the database keeps ' +
    'both. `currency` comes with `annualSalary` and `deductions`, which are amounts of it. Runs that are made already stay as they are. `deductions` are all of them. A period that begins after `leftOn` is not paid.',
  method: 'PATCH',
  path: '/api/payroll/employees/:employeeId',
  params: z.strictObject({ employeeId: id() }),
  body,
  schemaVersion: 1,
  roles: ['owner', 'admin', 'manager'],
  successStatus: 200,
  resource: employeeResource,
  event: 'employee.updated',
  effects: { posts: 'never' },
  rejections: {
    employee_not_found: { status: 404, title: 'There is no such employee' },
    employee_email_taken: { status: 409, title: 'Another employee has this e-mail address', nextAction: 'fix_request' },
    pay_frequency_within_period: {
      status: 422,
      title: 'A pay frequency takes the place of another on a day on which a period of each begins',
      about: { in: 'body', pointer: '/effectiveFrom' },
    },
    too_many_terms: { status: 409, title: 'The terms of this employee have changed as often as they may' },
  },
  constraints: {
    employees_email_key: 'employee_email_taken',
    pay_frequency_within_period: 'pay_frequency_within_period',
  },
  examples: [
    {
      name: 'raise',
      summary: 'A raise from a day on, and another name',
      params: { employeeId: DEMO.employeeId },
      body: { lastName: 'Example-Smith', effectiveFrom: '2027-01-01', annualSalary: 5_400_000 },
    },
    {
      name: 'leave',
      summary: 'The last day of somebody who leaves',
      params: { employeeId: DEMO.employeeId },
      body: { leftOn: '2027-12-31' },
    },
  ],
  summarize: ({ params }) => `updateEmployee ${params.employeeId}`,

  async write(tx, { params: { employeeId }, body: changes }, context) {
    const [locked] = await tx.query(
      'SELECT e.id FROM employees e WHERE e.company_id = $1 AND e.id = $2 FOR NO KEY UPDATE',
      [context.companyId, employeeId],
    );
    if (locked === undefined) {
      throw context.reject('employee_not_found', `There is no employee ${employeeId}.`, '/employeeId', 'path');
    }
    const { effectiveFrom, ...others } = changes;
    if (effectiveFrom !== undefined) await addTerms(tx, { ...others, effectiveFrom, employeeId }, context);
    await tx.query(
      `UPDATE employees e SET first_name = coalesce($3, e.first_name), last_name = coalesce($4, e.last_name),
         email = coalesce($5, e.email), left_on = CASE WHEN $6 THEN $7::date ELSE e.left_on END
       WHERE e.company_id = $1 AND e.id = $2`,
      [
        context.companyId,
        employeeId,
        changes.firstName ?? null,
        changes.lastName ?? null,
        changes.email ?? null,
        changes.leftOn !== undefined,
        changes.leftOn ?? null,
      ],
    );
    const [row] = await tx.query<EmployeeRow>(
      `SELECT ${EMPLOYEE_COLUMNS} FROM employees e WHERE e.company_id = $1 AND e.id = $2`,
      [context.companyId, employeeId],
    );
    if (row === undefined) throw new Error('Bug! The locked employee does not exist');
    return { resourceId: row.id, body: toEmployee(row) };
  },
});

type NewTerms = z.output<typeof terms> & { readonly employeeId: string; readonly effectiveFrom: string };

/** Adds the next version of the locked employee's terms: what is given, and the rest as it is in force on that day. */
async function addTerms(tx: Tx, given: NewTerms, context: WriteContext<'too_many_terms'>): Promise<void> {
  const [made] = await tx.query<{ changes: number }>(
    'SELECT count(*)::integer AS changes FROM employee_terms t WHERE t.company_id = $1 AND t.employee_id = $2',
    [context.companyId, given.employeeId],
  );
  if (made !== undefined && made.changes >= MAX_CHANGES_OF_TERMS) {
    throw context.reject('too_many_terms', `The terms of an employee change at most ${MAX_CHANGES_OF_TERMS} times.`);
  }
  await tx.query(
    `INSERT INTO employee_terms (company_id, id, employee_id, effective_from, annual_salary_minor, currency,
       pay_frequency, tax_rate_basis_points, deductions)
     SELECT $1, $2, t.employee_id, $4::date, coalesce($5::bigint, t.annual_salary_minor), coalesce($6, t.currency),
       coalesce($7, t.pay_frequency), coalesce($8::integer, t.tax_rate_basis_points), coalesce($9::jsonb, t.deductions)
     FROM all_terms($1, $3) AS t WHERE t.effective_from <= $4::date
     ORDER BY t.effective_from DESC, t.version DESC LIMIT 1`,
    [
      context.companyId,
      context.writeId,
      given.employeeId,
      given.effectiveFrom,
      given.annualSalary ?? null,
      given.currency ?? null,
      given.payFrequency ?? null,
      given.taxRateBasisPoints ?? null,
      given.deductions === undefined ? null : JSON.stringify(given.deductions),
    ],
  );
}
