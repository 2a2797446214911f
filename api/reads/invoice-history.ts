import type { Tx } from '../../activities/database.ts';
import {
  CREDIT_NOTE_COLUMNS,
  type CreditNoteRow,
  withCreditNoteLines,
} from '../../activities/resources/credit-note.ts';
import { ENTRY_COLUMNS, type EntryRow } from '../../activities/resources/journal-entry.ts';
import { PAYMENT_COLUMNS, type PaymentRow, toPayment } from '../../activities/resources/payment.ts';
import { REFUND_COLUMNS, type RefundRow, toRefund } from '../../activities/resources/refund.ts';
import { withEntryLines } from './entries.ts';

/** The limit of each kind, newest first. The lists of payments, refunds, credit notes and entries have all of them. */
const MAX_OF_EACH = 200;

/**
 * An array that is computed once: what follows from it is found by keys, or by one scan of the company's rows where the
 * statistics do not know the company, in which case a join could be a scan for each of its rows.
 */
const PAYMENT_IDS = 'ARRAY(SELECT id FROM payments WHERE company_id = current_company() AND invoice_id = $1)';

/** The payments, refunds and credit notes of an invoice, and the entries of all of them; newest first. */
export async function readInvoiceHistory(tx: Tx, invoiceId: string) {
  const payments = await tx.query<PaymentRow>(
    `SELECT ${PAYMENT_COLUMNS} FROM payments WHERE company_id = current_company() AND invoice_id = $1
     ORDER BY created_at DESC, id DESC LIMIT $2`,
    [invoiceId, MAX_OF_EACH],
  );
  const refunds = await tx.query<RefundRow>(
    `SELECT ${REFUND_COLUMNS} FROM refunds r JOIN payments p ON p.company_id = r.company_id AND p.id = r.payment_id
     WHERE p.company_id = current_company() AND p.invoice_id = $1 AND r.payment_id = ANY (${PAYMENT_IDS})
     ORDER BY r.created_at DESC, r.id DESC LIMIT $2`,
    [invoiceId, MAX_OF_EACH],
  );
  const notes = await tx.query<CreditNoteRow>(
    `SELECT ${CREDIT_NOTE_COLUMNS} FROM credit_notes WHERE company_id = current_company() AND invoice_id = $1
     ORDER BY created_at DESC, id DESC LIMIT $2`,
    [invoiceId, MAX_OF_EACH],
  );
  return {
    payments: payments.map(toPayment),
    refunds: refunds.map(toRefund),
    creditNotes: await withCreditNoteLines(tx, notes),
    entries: await withEntryLines(tx, await readEntriesOf(tx, invoiceId)),
  };
}

/** The entries of the invoice and of its payments, refunds, credit notes and write-offs, and those that took one of them back. */
function readEntriesOf(tx: Tx, invoiceId: string): Promise<EntryRow[]> {
  return tx.query<EntryRow>(
    `WITH posted (id) AS (
       SELECT journal_entry_id FROM invoices WHERE company_id = current_company() AND id = $1
       UNION ALL
       SELECT m.id FROM invoices i
       JOIN journal_entries m ON m.company_id = i.company_id AND m.reverses = i.journal_entry_id
       WHERE i.company_id = current_company() AND i.id = $1
       UNION ALL
       SELECT unnest(ARRAY[journal_entry_id, void_entry_id]) FROM payments
       WHERE company_id = current_company() AND invoice_id = $1
       UNION ALL
       SELECT unnest(ARRAY[journal_entry_id, void_entry_id]) FROM refunds
       WHERE company_id = current_company() AND payment_id = ANY (${PAYMENT_IDS})
       UNION ALL
       SELECT unnest(ARRAY[journal_entry_id, void_entry_id]) FROM credit_notes
       WHERE company_id = current_company() AND invoice_id = $1
       UNION ALL
       SELECT unnest(ARRAY[journal_entry_id, recover_entry_id]) FROM write_offs
       WHERE company_id = current_company() AND invoice_id = $1
     )
     SELECT ${ENTRY_COLUMNS} FROM journal_entries e
     WHERE e.company_id = current_company() AND e.id = ANY (ARRAY(SELECT id FROM posted WHERE id IS NOT NULL))
     ORDER BY e.entry_date DESC, e.created_at DESC, e.id DESC LIMIT $2`,
    [invoiceId, MAX_OF_EACH],
  );
}
