import { z } from 'zod';
import { amount, basisPoints, currency, email, name } from '../fields.ts';
import { defineOperation } from '../operation.ts';
import { deductions, payFrequency } from '../payroll/terms-fields.ts';
import { EMPLOYEE_COLUMNS, type EmployeeRow, employeeResource, toEmployee } from '../resources/employee.ts';

export const createEmployee = defineOperation({
  name: 'createEmployee',
  type: 'high-risk',
  summary: 'Create an employee',
  description:
    'An employee is paid `annualSalary` in equal parts over the periods of a year. `deductions` are taken from the pay of each ' +
    'period, before or after tax. These terms hold from the beginning; `updateEmployee` changes them from a date on. An e-mail ' +
    'address is unique in the company, ignoring case.',
  method: 'POST',
  path: '/api/payroll/employees',
  params: z.strictObject({}),
  body: z.strictObject({
    firstName: name(),
    lastName: name(),
    email: email(),
    annualSalary: amount(),
    currency: currency(),
    payFrequency: payFrequency(),
    taxRateBasisPoints: basisPoints(),
    deductions: deductions().default([]),
  }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'manager'],
  successStatus: 201,
  resource: employeeResource,
  event: 'employee.created',
  effects: { posts: 'never', makes: 'employees' },
  rejections: {
    employee_email_taken: { status: 409, title: 'Another employee has this e-mail address', nextAction: 'fix_request' },
  },
  constraints: { employees_email_key: 'employee_email_taken' },
  examples: [
    {
      name: 'employee',
      summary: 'Paid weekly',
      params: {},
      body: {
        firstName: 'Robin',
        lastName: 'Example',
        email: 'robin@demo.test',
        annualSalary: 4_160_000,
        currency: 'USD',
        payFrequency: 'weekly',
        taxRateBasisPoints: 1800,
      },
    },
    {
      name: 'with-deductions',
      summary: 'Paid monthly, with a pension before tax and a loan after it',
      params: {},
      body: {
        firstName: 'Kim',
        lastName: 'Example',
        email: 'kim@demo.test',
        annualSalary: 5_000_000,
        currency: 'USD',
        payFrequency: 'monthly',
        taxRateBasisPoints: 2000,
        deductions: [
          { name: 'Pension', amount: 10_000, preTax: true },
          { name: 'Loan', amount: 2_500, preTax: false },
        ],
      },
    },
  ],
  summarize: ({ body }) => `createEmployee, paid ${body.payFrequency}`,

  async write(tx, { body }, context) {
    await tx.query(
      `WITH e AS (
         INSERT INTO employees (company_id, id, first_name, last_name, email, annual_salary_minor, currency,
           pay_frequency, tax_rate_basis_points)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
       )
       INSERT INTO employee_deductions (company_id, employee_id, position, name, amount_minor, pre_tax)
       SELECT $1, $2, d.position, d.name, d.amount, d."preTax"
       FROM ROWS FROM (jsonb_to_recordset($10) AS (name text, amount bigint, "preTax" boolean))
         WITH ORDINALITY AS d (name, amount, "preTax", position)`,
      [
        context.companyId,
        context.writeId,
        body.firstName,
        body.lastName,
        body.email,
        body.annualSalary,
        body.currency,
        body.payFrequency,
        body.taxRateBasisPoints,
        JSON.stringify(body.deductions),
      ],
    );
    const [row] = await tx.query<EmployeeRow>(
      `SELECT ${EMPLOYEE_COLUMNS} FROM employees e WHERE e.company_id = $1 AND e.id = $2`,
      [context.companyId, context.writeId],
    );
    if (row === undefined) throw new Error('Bug! The employee that was just inserted does not exist');
    return { resourceId: row.id, body: toEmployee(row) };
  },
});
