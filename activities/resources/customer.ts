import { z } from 'zod';
import type { ResourceType } from '../operation.ts';
import { currencyCode, instant, notes, resourceId } from './members.ts';

/** The API's form of a customer and its columns. */
export const CUSTOMER_COLUMNS = 'id, name, email, currency, external_reference, metadata, created_at';

export type CustomerRow = {
  id: string;
  name: string;
  email: string | null;
  currency: string;
  external_reference: string | null;
  metadata: Record<string, string>;
  created_at: string;
};

export function toCustomer(row: CustomerRow): z.output<typeof customerSchema> {
  return {
    id: row.id,
    name: row.name,
    email: row.email,
    currency: row.currency,
    externalReference: row.external_reference,
    metadata: row.metadata,
    createdAt: row.created_at,
  };
}

export const customerSchema = z.object({
  id: resourceId(),
  name: z.string(),
  email: z.string().nullable(),
  currency: currencyCode(),
  externalReference: z.string().nullable(),
  metadata: notes(),
  createdAt: instant(),
});

export const customerResource: ResourceType = { type: 'customer', reads: '/api/customers', schema: customerSchema };
