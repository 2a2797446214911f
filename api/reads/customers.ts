import { z } from 'zod';
import { id } from '../../activities/fields.ts';
import { CUSTOMER_COLUMNS, type CustomerRow, toCustomer } from '../../activities/resources/customer.ts';
import { notFound } from '../http/problems.ts';
import { type List, readPage } from './page.ts';
import { pageQuery } from './query.ts';
import { defineRead } from './read.ts';

const CUSTOMERS: List = {
  columns: CUSTOMER_COLUMNS,
  from: 'FROM customers',
  where: 'company_id = current_company()',
  order: [
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'id', type: 'uuid' },
  ],
};

export const listCustomers = defineRead({
  path: '/api/customers',
  summary: 'List customers',
  group: 'sales',
  answers: { kind: 'list', resource: 'customer' },
  shows: 'personal data',
  params: z.strictObject({}),
  query: z.strictObject(pageQuery),
  async read(tx, { query: { limit, cursor } }, { companyId, cursors }) {
    const page = { path: this.path, companyId, cursors, filters: {}, limit, cursor };
    const { rows, nextCursor } = await readPage<CustomerRow>(tx, CUSTOMERS, [], page);
    return { items: rows.map(toCustomer), nextCursor };
  },
});

export const readCustomer = defineRead({
  path: '/api/customers/:customerId',
  summary: 'Read a customer',
  group: 'sales',
  answers: { kind: 'one', resource: 'customer' },
  shows: 'personal data',
  params: z.strictObject({ customerId: id() }),
  query: z.strictObject({}),
  async read(tx, { params: { customerId } }) {
    const [row] = await tx.query<CustomerRow>(
      `SELECT ${CUSTOMER_COLUMNS} FROM customers WHERE company_id = current_company() AND id = $1`,
      [customerId],
    );
    if (row === undefined) throw notFound('customer', `There is no customer ${customerId}.`);
    return toCustomer(row);
  },
});
