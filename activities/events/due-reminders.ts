import type { DueReminder } from '../../workflows/event-messages.ts';
import type { Tx } from '../database.ts';
import { HASH_JOINS } from '../hash-joins.ts';

/** The number of days after the due date at which each step is due. */
const DAYS_OVERDUE = [1, 14, 30] as const;
/** A customer has at least this many days to pay between two steps. */
const DAYS_BETWEEN = 7;
/** The next run finds the rest. */
const MAX_REMINDERS = 1_000;

/**
 * Finds the invoices that are overdue as of a day (today in the company's time zone when null) and whose next step is due;
 * the longest overdue first. An invoice with a refund since its last reminder is left out, because people must settle it
 * first; a reminder recorded by hand resumes the steps.
 */
export async function findDueReminders(tx: Tx, asOf: string | null): Promise<readonly DueReminder[]> {
  await tx.query(`SELECT ${HASH_JOINS}`);
  const rows = await tx.query<{ invoice_id: string; step: 1 | 2 | 3 }>(
    `WITH day AS (SELECT coalesce($1::date, company_today(current_company())) AS as_of),
     overdue AS (
       SELECT i.id, i.due_date, d.as_of, coalesce(max(r.step), 0) + 1 AS step, max(r.created_at) AS reminded_at
       FROM day d
       JOIN invoices i ON i.company_id = current_company() AND i.due_date < d.as_of
         AND i.status IN ('finalized', 'partially_paid')
       LEFT JOIN invoice_reminders r ON r.company_id = i.company_id AND r.invoice_id = i.id
       GROUP BY i.id, i.due_date, d.as_of
     )
     SELECT o.id AS invoice_id, o.step FROM overdue o
     WHERE o.step <= 3
       AND o.as_of - o.due_date >= ($2::integer[])[o.step]
       AND (o.reminded_at IS NULL OR o.as_of - o.reminded_at::date >= $3)
       AND NOT EXISTS (
         SELECT FROM refunds f JOIN payments p ON p.company_id = f.company_id AND p.id = f.payment_id
         WHERE p.company_id = current_company() AND p.invoice_id = o.id AND f.voided_on IS NULL
           AND f.created_at > coalesce(o.reminded_at, '-infinity'))
     ORDER BY o.due_date, o.id LIMIT $4`,
    [asOf, DAYS_OVERDUE, DAYS_BETWEEN, MAX_REMINDERS],
  );
  return rows.map(({ invoice_id: invoiceId, step }) => ({ invoiceId, step }));
}
