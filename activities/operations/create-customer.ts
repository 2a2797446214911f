import { z } from 'zod';
import { currency, email, metadata, name, reference } from '../fields.ts';
import { inStoredOrder } from '../json.ts';
import { defineSetOperation } from '../operation.ts';
import { type CustomerRow, customerResource, toCustomer } from '../resources/customer.ts';

const REFERENCE_TAKEN = {
  status: 409,
  title: 'Another customer has this external reference',
  nextAction: 'fix_request',
} as const;

export const createCustomer = defineSetOperation({
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
    customer_reference_taken: REFERENCE_TAKEN,
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

  set: {
    async load(tx, companyId, inputs): Promise<CreateCustomerState> {
      const references = inputs.flatMap(({ body }) => body.externalReference ?? []);
      const [facts] = await tx.query<{ now: string; base_currency: string; references: string[] }>(
        `SELECT now() AS now, c.base_currency,
           ARRAY(SELECT k.external_reference FROM customers k
                 WHERE k.company_id = c.id AND k.external_reference = ANY ($2::text[])) AS references
         FROM companies c WHERE c.id = $1`,
        [companyId, references],
      );
      if (facts === undefined) throw new Error('Bug! The company has no row');
      return {
        now: facts.now,
        baseCurrency: facts.base_currency,
        takenReferences: new Set(facts.references),
        customers: [],
      };
    },

    decide({ now, baseCurrency, takenReferences, customers }, { body }, context) {
      const { externalReference } = body;
      if (externalReference !== undefined && takenReferences.has(externalReference)) {
        throw context.reject('customer_reference_taken', `${REFERENCE_TAKEN.title}.`);
      }

      const customer: CustomerRow = {
        id: context.writeId,
        name: body.name,
        email: body.email ?? null,
        currency: body.currency ?? baseCurrency,
        external_reference: externalReference ?? null,
        metadata: inStoredOrder(body.metadata),
        created_at: now,
      };
      if (externalReference !== undefined) takenReferences.add(externalReference);
      customers.push(customer);
      return { resourceId: customer.id, body: toCustomer(customer) };
    },

    apply(tx, companyId, { customers }) {
      if (customers.length === 0) return [];
      return [
        // In the order of references: two sets that take the same ones wait for each other in turn.
        tx.query(
          `INSERT INTO customers (company_id, id, name, email, currency, external_reference, metadata)
           SELECT $1, c.id, c.name, c.email, c.currency, c.external_reference, c.metadata
           FROM jsonb_to_recordset($2) AS c (id uuid, name text, email text, currency text, external_reference text,
             metadata jsonb)
           ORDER BY c.external_reference COLLATE "C"`,
          [companyId, JSON.stringify(customers)],
        ),
      ];
    },
  },
});

export type CreateCustomerState = {
  /** The time of the transaction: `created_at` of every row that it inserts. */
  readonly now: string;
  readonly baseCurrency: string;
  /** Of those asked for. One that a concurrent transaction takes meanwhile is found by the constraint. */
  readonly takenReferences: Set<string>;
  readonly customers: CustomerRow[];
};
