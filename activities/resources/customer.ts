/** The customer as the API shows it, and the columns that it is made of. */
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

export function toCustomer(row: CustomerRow) {
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
