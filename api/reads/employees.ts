import { z } from 'zod';
import { id } from '../../activities/fields.ts';
import { EMPLOYEE_COLUMNS, type EmployeeRow, toEmployee } from '../../activities/resources/employee.ts';
import { notFound } from '../http/problems.ts';
import { type List, readPage } from './page.ts';
import { pageQuery } from './query.ts';
import { defineRead } from './read.ts';

const EMPLOYEES: List = {
  columns: EMPLOYEE_COLUMNS,
  from: 'FROM employees e',
  where: 'company_id = current_company()',
  order: [
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'id', type: 'uuid' },
  ],
};

export const listEmployees = defineRead({
  path: '/api/payroll/employees',
  summary: 'List employees',
  group: 'employees',
  answers: { kind: 'list', resource: 'employee' },
  shows: 'payroll',
  params: z.strictObject({}),
  query: z.strictObject(pageQuery),
  async read(tx, { query: { limit, cursor } }, { companyId, cursors }) {
    const page = { path: this.path, companyId, cursors, filters: {}, limit, cursor };
    const { rows, nextCursor } = await readPage<EmployeeRow>(tx, EMPLOYEES, [], page);
    return { items: rows.map(toEmployee), nextCursor };
  },
});

export const readEmployee = defineRead({
  path: '/api/payroll/employees/:employeeId',
  summary: 'Read an employee',
  group: 'employees',
  answers: { kind: 'one', resource: 'employee' },
  shows: 'payroll',
  params: z.strictObject({ employeeId: id() }),
  query: z.strictObject({}),
  async read(tx, { params: { employeeId } }) {
    const [row] = await tx.query<EmployeeRow>(
      `SELECT ${EMPLOYEE_COLUMNS} FROM employees e WHERE company_id = current_company() AND id = $1`,
      [employeeId],
    );
    if (row === undefined) throw notFound('employee', `There is no employee ${employeeId}.`);
    return toEmployee(row);
  },
});
