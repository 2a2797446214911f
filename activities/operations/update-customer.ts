import { z } from 'zod';
import { DEMO } from '../demo.ts';
import { atLeastOneMember, email, id, metadata, name, reference } from '../fields.ts';
import { defineOperation } from '../operation.ts';
import { CUSTOMER_COLUMNS, type CustomerRow, customerResource, toCustomer } from '../resources/customer.ts';

export const updateCustomer = defineOperation({
  name: 'updateCustomer',
  type: 'high-risk',
  summary: 'Change a customer',
  description:
    'Changes the given members, at least one, and leaves the others as they are; `null` clears one that may be absent. ' +
    '`metadata` replaces all of it. The currency stays, and so does what invoices say. An `externalReference` is unique in the company.',
  method: 'PATCH',
  path: '/api/customers/:customerId',
  params: z.strictObject({ customerId: id() }),
  body: atLeastOneMember(
    z.strictObject({
      name: name().optional(),
      email: email().nullable().optional(),
      externalReference: reference().nullable().optional(),
      metadata: metadata().nullable().optional(),
    }),
  ),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant', 'manager'],
  successStatus: 200,
  resource: customerResource,
  event: 'customer.updated',
  effects: { posts: 'never' },
  rejections: {
    customer_not_found: { status: 404, title: 'There is no such customer' },
    customer_reference_taken: {
      status: 409,
      title: 'Another customer has this external reference',
      nextAction: 'fix_request',
      about: { in: 'body', pointer: '/externalReference' },
    },
  },
  constraints: { customers_external_reference_key: 'customer_reference_taken' },
  examples: [
    {
      name: 'email',
      summary: 'Another address; the rest stays',
      params: { customerId: DEMO.customerId },
      body: { email: 'invoices@acme.test' },
    },
    {
      name: 'clear',
      summary: 'Without notes',
      params: { customerId: DEMO.customerId },
      body: { metadata: null },
    },
  ],
  summarize: ({ params }) => `updateCustomer ${params.customerId}`,

  async write(tx, { params, body }, context) {
    // One statement: who waits for another change of the same customer goes on from what that has made.
    const [row] = await tx.query<CustomerRow>(
      `UPDATE customers SET
         name = CASE WHEN c.asked ? 'name' THEN c.asked ->> 'name' ELSE name END,
         email = CASE WHEN c.asked ? 'email' THEN c.asked ->> 'email' ELSE email END,
         external_reference =
           CASE WHEN c.asked ? 'externalReference' THEN c.asked ->> 'externalReference' ELSE external_reference END,
         metadata = CASE WHEN c.asked ? 'metadata' THEN coalesce(nullif(c.asked -> 'metadata', 'null'), '{}') ELSE metadata END
       FROM (SELECT $3::jsonb AS asked) AS c
       WHERE company_id = $1 AND id = $2 RETURNING ${CUSTOMER_COLUMNS}`,
      [context.companyId, params.customerId, JSON.stringify(body)],
    );
    if (row === undefined) {
      throw context.reject('customer_not_found', `There is no customer ${params.customerId}.`, '/customerId', 'path');
    }
    return { resourceId: row.id, body: toCustomer(row), auditMetadata: { changed: Object.keys(body) } };
  },
});
