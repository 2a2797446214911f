import { z } from 'zod';
import { toWireAmount } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { documentNumber } from './document-number.ts';
import { calendarDate, currencyCode, instant, money, notes, numberOf, resourceId } from './members.ts';

/** The API's form of a refund and its columns: its own, from `r`, and those of its payment, from `p`. */
export const REFUND_COLUMNS = `r.id, r.number, r.payment_id, p.invoice_id, r.amount_minor, p.currency, r.refunded_on, r.reason,
  r.voided_on, r.void_reason, r.journal_entry_id, r.metadata, r.created_at`;

export type RefundRow = {
  id: string;
  /** Null in the transaction that makes it, which takes the number last. */
  number: number | null;
  payment_id: string;
  invoice_id: string;
  amount_minor: bigint;
  currency: string;
  refunded_on: string;
  reason: string;
  voided_on: string | null;
  void_reason: string | null;
  journal_entry_id: string;
  metadata: Record<string, string>;
  created_at: string;
};

export function toRefund(row: RefundRow): z.output<typeof refundSchema> {
  return {
    id: row.id,
    number: documentNumber('refund', row.number),
    paymentId: row.payment_id,
    invoiceId: row.invoice_id,
    amount: toWireAmount(row.amount_minor),
    currency: row.currency,
    date: row.refunded_on,
    reason: row.reason,
    voidedOn: row.voided_on,
    voidReason: row.void_reason,
    journalEntryId: row.journal_entry_id,
    metadata: row.metadata,
    createdAt: row.created_at,
  };
}

export const refundSchema = z.object({
  id: resourceId(),
  number: numberOf('RFD-000001'),
  paymentId: resourceId(),
  invoiceId: resourceId(),
  amount: money(),
  currency: currencyCode(),
  date: calendarDate(),
  reason: z.string(),
  voidedOn: calendarDate().nullable(),
  voidReason: z.string().nullable(),
  journalEntryId: resourceId(),
  metadata: notes(),
  createdAt: instant(),
});

export const refundResource: ResourceType = { type: 'refund', reads: '/api/refunds', schema: refundSchema };
