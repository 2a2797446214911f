import type { Control } from '../control.ts';
import { differences, writesOf } from './compare.ts';

/** What was asked for, and the invoice that was answered; whoever asked for no day was given that day somewhere in the world. */
const asked = (day: string) => `
      CROSS JOIN LATERAL (
        SELECT (w.request -> 'body') || jsonb_build_object('invoiceId', a.body -> 'id', 'date', coalesce(
          w.request -> 'body' -> 'date',
          CASE WHEN abs(${day} - (w.claimed_at AT TIME ZONE 'UTC')::date) <= 1 THEN to_jsonb(${day}) END)) AS write_off
        OFFSET 0
      ) AS told`;

/** Of write-offs, which no answer has as such: rows against what was asked for. */
export const WRITE_OFF_ANSWERS: readonly Control[] = [
  {
    name: 'write-off-answers',
    sentence:
      'A write-off, and its recovery, are of the invoice that was answered, with the amount, tax relief, day and reason asked for.',
    closesMonth: false,
    of: writesOf('writeOffInvoice', 'recoverWriteOff'),
    sql: `${differences({
      operations: ['writeOffInvoice'],
      rows: `
      JOIN write_offs o ON o.company_id = w.company_id AND o.id = w.write_id${asked('o.written_off_on')}`,
      id: 'o.id',
      answer: 'told.write_off',
      members: {
        invoiceId: 'o.invoice_id',
        amount: 'o.amount_minor',
        taxRelief: 'o.tax_relief',
        date: 'o.written_off_on',
        reason: 'o.reason',
      },
    })}
      UNION ALL${differences({
        operations: ['recoverWriteOff'],
        rows: `
      LEFT JOIN journal_entries e ON e.company_id = w.company_id AND e.write_id = w.write_id
      LEFT JOIN write_offs o ON o.company_id = e.company_id AND o.recover_entry_id = e.id${asked('o.recovered_on')}`,
        id: 'w.write_id',
        answer: 'told.write_off',
        members: { invoiceId: 'o.invoice_id', date: 'o.recovered_on', reason: 'o.recover_reason' },
      })}
      UNION ALL
      SELECT o.company_id, NULL, NULL, o.id::text, 'recoveredOn' FROM write_offs o
      LEFT JOIN journal_entries e ON e.company_id = o.company_id AND e.id = o.recover_entry_id
      WHERE o.recovered_on IS NOT NULL AND e.operation IS DISTINCT FROM 'recoverWriteOff'`,
  },
];
