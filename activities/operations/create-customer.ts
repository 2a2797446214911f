import { z } from 'zod';
import { currency, email, metadata, name, reference } from '../fields.ts';
import { defineOperation } from '../operation.ts';
import { CUSTOMER_COLUMNS, type CustomerRow, customerResource, toCustomer } from '../resources/customer.ts';

export const createCustomer = defineOperation({
  name: 'createCustomer',
  type: 'high-risk',
  summary: 'Create a customer',
  description:
    'A customer is invoiced in `currency`, by default the company’s base currency. An `externalReference` is unique in the company.',
  method: 'POST',
  path: '/api/customers',
  params: z.strictObject({}),
  body: z.strictObject({
    name: name(),
    email: email().optional(),
    currency: currency().optional(),
    externalReference: reference().optional(),
    metadata: metadata().optional(),
  }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant', 'manager'],
  successStatus: 201,
  resource: customerResource,
  event: 'customer.created',
  effects: { posts: 'never', makes: 'customers' },
  rejections: {
    customer_reference_taken: {
      status: 409,
      title: 'Another customer has this external reference',
      nextAction: 'fix_request',
    },
  },
  constraints: { customers_external_reference_key: 'customer_reference_taken' },
  examples: [
    {
      name: 'customer',
      summary: 'A customer in US dollars',
      params: {},
      body: {
        name: 'Blue Harbour Bakery',
        email: 'accounts@blue-harbour.test',
        currency: 'USD',
        externalReference: 'CRM-2001',
      },
    },
  ],
  summarize: ({ body }) => `createCustomer${body.externalReference === undefined ? '' : ` ${body.externalReference}`}`,

  async write(tx, { body }, context) {
    const [row] = await tx.query<CustomerRow>(
      `INSERT INTO customers (company_id, id, name, email, currency, external_reference, metadata)
       SELECT c.id, $2, $3, $4, coalesce($5, c.base_currency), $6, $7 FROM companies c WHERE c.id = $1
       RETURNING ${CUSTOMER_COLUMNS}`,
      [
        context.companyId,
        context.writeId,
        body.name,
        body.email ?? null,
        body.currency ?? null,
        body.externalReference ?? null,
        JSON.stringify(body.metadata ?? {}),
      ],
    );
    if (row === undefined) throw new Error('Bug! The company has no row');
    return { resourceId: row.id, body: toCustomer(row) };
  },
});
