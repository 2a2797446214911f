import type { Tx } from '../database.ts';
import type { InvoiceRow } from '../resources/invoice.ts';

/** An invoice that this transaction holds; the writes of a set change what is due on it one after another. */
export type LockedInvoice = Pick<InvoiceRow, 'id' | 'currency' | 'issue_date'> & {
  status: InvoiceRow['status'];
  due_minor: bigint;
};

/** Locks invoices in the order of their IDs and reads them. Those that the company does not have are left out. */
export async function lockInvoices(
  tx: Tx,
  companyId: string,
  invoiceIds: readonly string[],
): Promise<ReadonlyMap<string, LockedInvoice>> {
  const invoices = await tx.query<LockedInvoice>(
    `SELECT id, status, currency, issue_date, due_minor
     FROM lock_invoices(p_company => $1, p_invoices => $2)`,
    [companyId, [...new Set(invoiceIds)]],
  );
  return new Map(invoices.map((invoice) => [invoice.id, invoice]));
}
