import type { Actors } from './actors.ts';

/** Writes off a cent of an invoice under the entry of its payment: what is kept of it does not depend on what it says. */
export function writeOffByHand(
  sql: Actors,
  companyId: string,
  { invoiceId, journalEntryId }: { readonly invoiceId: string; readonly journalEntryId: string },
): Promise<unknown> {
  return sql.as('application', companyId, (client) =>
    client.query(
      `SELECT record_write_off(p_company => $1, p_write_off => gen_random_uuid(), p_invoice => $2, p_amount => 1, p_tax => 0,
         p_tax_relief => false, p_date => '2026-12-31', p_reason => 'Insolvent', p_entry => $3)`,
      [companyId, invoiceId, journalEntryId],
    ),
  );
}
