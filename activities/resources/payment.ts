import { z } from 'zod';
import { toWireAmount } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { documentNumber } from './document-number.ts';
import { calendarDate, currencyCode, instant, money, notes, numberOf, resourceId } from './members.ts';

/** The API's form of a payment and its columns. */
export const PAYMENT_COLUMNS =
  'id, number, invoice_id, amount_minor, currency, method, received_on, reference, refunded_minor, voided_on, void_reason, bounced, journal_entry_id, metadata, created_at';

export type PaymentRow = {
  id: string;
  /** Null in the transaction that makes it, which takes the number last. */
  number: number | null;
  invoice_id: string;
  amount_minor: bigint;
  currency: string;
  method: string;
  received_on: string;
  reference: string | null;
  refunded_minor: bigint;
  voided_on: string | null;
  void_reason: string | null;
  /** Null unless it is void. */
  bounced: boolean | null;
  journal_entry_id: string;
  metadata: Record<string, string>;
  created_at: string;
};

export function toPayment(row: PaymentRow): z.output<typeof paymentSchema> {
  return {
    id: row.id,
    number: documentNumber('payment', row.number),
    invoiceId: row.invoice_id,
    amount: toWireAmount(row.amount_minor),
    currency: row.currency,
    method: row.method,
    receivedOn: row.received_on,
    reference: row.reference,
    refunded: toWireAmount(row.refunded_minor),
    voidedOn: row.voided_on,
    voidReason: row.void_reason,
    bounced: row.bounced,
    journalEntryId: row.journal_entry_id,
    metadata: row.metadata,
    createdAt: row.created_at,
  };
}

export const paymentSchema = z.object({
  id: resourceId(),
  number: numberOf('RCT-000001'),
  invoiceId: resourceId(),
  amount: money(),
  currency: currencyCode(),
  method: z.string().meta({ description: 'bank_transfer, card, cash, check or other' }),
  receivedOn: calendarDate(),
  reference: z.string().nullable(),
  refunded: money(),
  voidedOn: calendarDate().nullable(),
  voidReason: z.string().nullable(),
  bounced: z
    .boolean()
    .nullable()
    .meta({ description: 'Null unless it is void: whether it came in and was taken back by the bank' }),
  journalEntryId: resourceId(),
  metadata: notes(),
  createdAt: instant(),
});

export const paymentResource: ResourceType = { type: 'payment', reads: '/api/payments', schema: paymentSchema };
