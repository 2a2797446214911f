import { type Actors, claimByHand, rejectByHand } from './actors.ts';
import type { Company } from './companies.ts';

/** Writes off a cent of an invoice, whatever its tax: only the entry is as the database wants it. */
export function writeOffByHand(
  sql: Actors,
  company: Company,
  { invoiceId }: { readonly invoiceId: string },
): Promise<unknown> {
  return sql.as('application', company.id, async (client) => {
    const operation = 'writeOffInvoice';
    const writeId = await claimByHand(client, company.id, company.users.owner.id, operation);
    const lines = [
      { id: writeId, role: 'bad_debts', amount: 1, currency: 'USD' },
      { id: company.id, role: 'receivable', amount: -1, currency: 'USD' },
    ];
    await client.query("SELECT post_entry($1, $2, $2, $3, '2026-12-31', 'by hand', $4)", [
      ...[company.id, writeId, operation],
      JSON.stringify(lines),
    ]);
    await client.query(
      `SELECT record_write_off(p_company => $1, p_write_off => gen_random_uuid(), p_invoice => $2, p_amount => 1, p_tax => 0,
         p_tax_relief => false, p_date => '2026-12-31', p_reason => 'Insolvent', p_entry => $3)`,
      [company.id, invoiceId, writeId],
    );
    await rejectByHand(client, company.id, writeId);
  });
}
