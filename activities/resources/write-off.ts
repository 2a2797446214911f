import { z } from 'zod';
import { toWireAmount } from '../money.ts';
import { calendarDate, instant, money, resourceId } from './members.ts';

/** The API's form of a write-off, which is read with its invoice, and its columns. */
export const WRITE_OFF_COLUMNS = `id, invoice_id, amount_minor, tax_minor, tax_relief, written_off_on, reason, journal_entry_id,
  recovered_on, recover_reason, recover_entry_id, created_at`;

export type WriteOffRow = {
  id: string;
  invoice_id: string;
  amount_minor: bigint;
  tax_minor: bigint;
  tax_relief: boolean;
  written_off_on: string;
  reason: string;
  journal_entry_id: string;
  recovered_on: string | null;
  recover_reason: string | null;
  recover_entry_id: string | null;
  created_at: string;
};

export function toWriteOff(row: WriteOffRow): z.output<typeof writeOffSchema> {
  return {
    id: row.id,
    invoiceId: row.invoice_id,
    amount: toWireAmount(row.amount_minor),
    taxShare: toWireAmount(row.tax_minor),
    taxRelief: row.tax_relief,
    date: row.written_off_on,
    reason: row.reason,
    journalEntryId: row.journal_entry_id,
    recoveredOn: row.recovered_on,
    recoverReason: row.recover_reason,
    recoverEntryId: row.recover_entry_id,
    createdAt: row.created_at,
  };
}

export const writeOffSchema = z.object({
  id: resourceId(),
  invoiceId: resourceId(),
  amount: money(),
  taxShare: z
    .int()
    .meta({ description: 'Minor units of the invoice’s tax; posted to sales tax payable with `taxRelief`' }),
  taxRelief: z.boolean(),
  date: calendarDate(),
  reason: z.string(),
  journalEntryId: resourceId(),
  recoveredOn: calendarDate().nullable(),
  recoverReason: z.string().nullable(),
  recoverEntryId: resourceId().nullable(),
  createdAt: instant(),
});
