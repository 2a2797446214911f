import { toWireAmount } from '../money.ts';

/** The payment as the API shows it, and the columns that it is made of. */
export const PAYMENT_COLUMNS =
  'id, invoice_id, amount_minor, currency, method, received_on, reference, refunded_minor, journal_entry_id, metadata, created_at';

export type PaymentRow = {
  id: string;
  invoice_id: string;
  amount_minor: bigint;
  currency: string;
  method: string;
  received_on: string;
  reference: string | null;
  refunded_minor: bigint;
  journal_entry_id: string;
  metadata: Record<string, string>;
  created_at: string;
};

export function toPayment(row: PaymentRow) {
  return {
    id: row.id,
    invoiceId: row.invoice_id,
    amount: toWireAmount(row.amount_minor),
    currency: row.currency,
    method: row.method,
    receivedOn: row.received_on,
    reference: row.reference,
    refunded: toWireAmount(row.refunded_minor),
    journalEntryId: row.journal_entry_id,
    metadata: row.metadata,
    createdAt: row.created_at,
  };
}
