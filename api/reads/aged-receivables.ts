import { z } from 'zod';
import { date } from '../../activities/fields.ts';
import { toWireSum } from '../../activities/money.ts';
import { dayOfReport } from './day-of-report.ts';
import { defineRead } from './read.ts';

/**
 * What each customer owed at the end of a day, by how long it had been due: everything that is dated up to then. Each item
 * counts on its posting date, so that the report agrees with accounts receivable as of that day, even where an earlier release has
 * dated a void before the refund that made it possible, or a payment before its invoice. Without `asOf`: as of today.
 */
export const readAgedReceivables = defineRead({
  path: '/api/reports/aged-receivables',
  summary: 'What customers owe, by how long it has been due',
  group: 'sales',
  answers: { kind: 'report', resource: 'aged_receivables' },
  params: z.strictObject({}),
  query: z.strictObject({ asOf: date().optional().describe('The last day to include; today if omitted.') }),
  async read(tx, { query }) {
    const asOf = await dayOfReport(tx, query.asOf);
    const rows = await tx.query<AgedRow>(AGED, [asOf]);
    return {
      asOf,
      items: rows.map((row) => ({
        customerId: row.customer_id,
        currency: row.currency,
        notDue: toWireSum(BigInt(row.not_due_minor)),
        days1to30: toWireSum(BigInt(row.days_1_to_30_minor)),
        days31to60: toWireSum(BigInt(row.days_31_to_60_minor)),
        days61to90: toWireSum(BigInt(row.days_61_to_90_minor)),
        over90: toWireSum(BigInt(row.over_90_minor)),
      })),
    };
  },
});

/** An invoice is due on its due date and overdue from the day after. A customer who owes nothing has no row. */
const AGED = `
  WITH movement (company_id, invoice_id, amount_minor) AS (
    SELECT company_id, id, total_minor FROM invoices
    WHERE company_id = current_company() AND number IS NOT NULL AND issue_date <= $1
    UNION ALL
    SELECT company_id, id, -total_minor FROM invoices WHERE company_id = current_company() AND voided_on <= $1
    UNION ALL
    SELECT company_id, invoice_id, -amount_minor FROM payments
    WHERE company_id = current_company() AND received_on <= $1 AND (voided_on > $1) IS NOT FALSE
    UNION ALL
    SELECT company_id, invoice_id, -total_minor FROM credit_notes
    WHERE company_id = current_company() AND credited_on <= $1 AND (voided_on > $1) IS NOT FALSE
    UNION ALL
    SELECT r.company_id, p.invoice_id, r.amount_minor
    FROM refunds r JOIN payments p ON p.company_id = r.company_id AND p.id = r.payment_id
    WHERE r.company_id = current_company() AND r.refunded_on <= $1 AND (r.voided_on > $1) IS NOT FALSE
    UNION ALL
    SELECT company_id, invoice_id, -amount_minor FROM write_offs
    WHERE company_id = current_company() AND written_off_on <= $1 AND (recovered_on > $1) IS NOT FALSE
  ), open AS (
    SELECT i.customer_id, i.currency, $1::date - i.due_date AS days_overdue, sum(m.amount_minor) AS amount_minor
    FROM movement m JOIN invoices i ON i.company_id = m.company_id AND i.id = m.invoice_id
    GROUP BY i.company_id, i.id
    HAVING sum(m.amount_minor) <> 0
  )
  SELECT customer_id, currency,
    coalesce(sum(amount_minor) FILTER (WHERE days_overdue <= 0), 0) AS not_due_minor,
    coalesce(sum(amount_minor) FILTER (WHERE days_overdue BETWEEN 1 AND 30), 0) AS days_1_to_30_minor,
    coalesce(sum(amount_minor) FILTER (WHERE days_overdue BETWEEN 31 AND 60), 0) AS days_31_to_60_minor,
    coalesce(sum(amount_minor) FILTER (WHERE days_overdue BETWEEN 61 AND 90), 0) AS days_61_to_90_minor,
    coalesce(sum(amount_minor) FILTER (WHERE days_overdue > 90), 0) AS over_90_minor
  FROM open
  GROUP BY customer_id, currency
  ORDER BY customer_id, currency`;

/** Sums are `numeric`, as text: they have no limit. */
type AgedRow = {
  customer_id: string;
  currency: string;
  not_due_minor: string;
  days_1_to_30_minor: string;
  days_31_to_60_minor: string;
  days_61_to_90_minor: string;
  over_90_minor: string;
};
