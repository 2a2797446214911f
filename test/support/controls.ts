import type pg from 'pg';
import { PAYROLL_CONTROLS } from './payroll-controls.ts';

/** The operations whose every success posts one entry. */
const POSTS_ALWAYS: readonly string[] = ['finalizeInvoice', 'createPayment', 'executePayroll', 'adjustInventory'];

/** Those that post one entry or none. */
const POSTS_SOMETIMES: readonly string[] = ['createInventoryItem'];

/** The table of the main row that an operation makes, which has the write's ID. */
const MAIN_ROWS: Readonly<Record<string, string>> = {
  createCustomer: 'customers',
  createInvoice: 'invoices',
  createPayment: 'payments',
  createEmployee: 'employees',
  createPayRun: 'pay_runs',
  createInventoryItem: 'inventory_items',
  adjustInventory: 'inventory_movements',
};

const list = (names: readonly string[]) => names.map((name) => `'${name}'`).join(', ');

/**
 * The controls of the books (ledger.md): what must hold in every company after any run. Each query answers a row for
 * each place where it does not; all of them together answer nothing.
 */
const CONTROLS: Readonly<Record<string, string>> = {
  'every entry sums to zero in each currency': `
    SELECT entry_id, currency, sum(amount_minor) AS amount_minor FROM journal_lines
    GROUP BY company_id, entry_id, currency HAVING sum(amount_minor) <> 0`,

  'every entry has lines': `
    SELECT e.id FROM journal_entries e
    WHERE NOT EXISTS (SELECT FROM journal_lines l WHERE l.company_id = e.company_id AND l.entry_id = e.id)`,

  'the trial balance is zero in each currency': `
    SELECT company_id, currency, sum(amount_minor) AS amount_minor FROM journal_lines
    GROUP BY company_id, currency HAVING sum(amount_minor) <> 0`,

  'accounts receivable is what is due on all invoices but drafts': `
    WITH receivable AS (
      SELECT l.company_id, l.currency, sum(l.amount_minor) AS amount_minor
      FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
      WHERE a.code = '1100' GROUP BY l.company_id, l.currency
    ), due AS (
      SELECT company_id, currency, sum(due_minor) AS due_minor FROM invoices WHERE status <> 'draft'
      GROUP BY company_id, currency
    )
    SELECT company_id, currency, amount_minor, due_minor FROM receivable FULL JOIN due USING (company_id, currency)
    WHERE coalesce(amount_minor, 0) <> coalesce(due_minor, 0)`,

  'invoice numbers run from 1 without a gap, up to the counter': `
    SELECT company_id, count(number) AS numbers, min(number) AS lowest, max(number) AS highest,
      (SELECT last_number FROM number_counters c WHERE c.company_id = i.company_id AND kind = 'invoice') AS counter
    FROM invoices i GROUP BY company_id
    HAVING count(number) <> coalesce(max(number), 0) OR min(number) <> 1
      OR coalesce(max(number), 0) <> coalesce(
        (SELECT last_number FROM number_counters c WHERE c.company_id = i.company_id AND kind = 'invoice'), 0)`,

  'what an invoice has been paid is the sum of its payments less refunds': `
    SELECT i.id, i.paid_minor, coalesce(sum(p.amount_minor - p.refunded_minor), 0) AS payments_minor
    FROM invoices i LEFT JOIN payments p ON p.company_id = i.company_id AND p.invoice_id = i.id
    GROUP BY i.company_id, i.id HAVING i.paid_minor <> coalesce(sum(p.amount_minor - p.refunded_minor), 0)`,

  'an invoice is the sum of its lines': `
    SELECT i.id, i.subtotal_minor, sum(l.net_minor) AS net_minor, i.tax_minor, sum(l.tax_minor) AS line_tax_minor
    FROM invoices i LEFT JOIN invoice_lines l ON l.company_id = i.company_id AND l.invoice_id = i.id
    GROUP BY i.company_id, i.id
    HAVING i.subtotal_minor IS DISTINCT FROM sum(l.net_minor) OR i.tax_minor IS DISTINCT FROM sum(l.tax_minor)`,

  'an invoice has the status that its amounts say': `
    SELECT id, status, number, total_minor, paid_minor, credited_minor, due_minor FROM invoices
    WHERE status <> CASE
        WHEN voided_on IS NOT NULL THEN 'void' WHEN journal_entry_id IS NULL THEN 'draft' WHEN due_minor = 0 THEN 'paid'
        WHEN paid_minor + credited_minor > 0 THEN 'partially_paid' ELSE 'finalized' END
      OR due_minor <> CASE WHEN voided_on IS NULL THEN total_minor - paid_minor - credited_minor ELSE 0 END`,

  'a payment and its invoice have one currency, and so have their entries': `
    SELECT p.id FROM payments p
    JOIN invoices i ON i.company_id = p.company_id AND i.id = p.invoice_id
    JOIN journal_lines l ON l.company_id = p.company_id AND l.entry_id = p.journal_entry_id
    WHERE p.currency <> i.currency OR l.currency <> p.currency
    UNION ALL
    SELECT i.id FROM invoices i
    JOIN journal_lines l ON l.company_id = i.company_id AND l.entry_id = i.journal_entry_id
    WHERE l.currency <> i.currency`,

  'every success has one `new` audit row and one event, and nothing else has either': `
    WITH succeeded AS (
      SELECT company_id, write_id FROM idempotent_writes WHERE outcome = 'succeeded'
    ), audited AS (
      SELECT company_id, deterministic_id AS write_id, count(*) AS audit_rows FROM idempotent_write_audit_log
      WHERE status = 'new' GROUP BY 1, 2
    ), told AS (
      SELECT company_id, write_id, count(*) AS events FROM outbox GROUP BY 1, 2
    )
    SELECT company_id, write_id, s.write_id IS NOT NULL AS succeeded, audit_rows, events
    FROM succeeded s FULL JOIN audited USING (company_id, write_id) FULL JOIN told USING (company_id, write_id)
    WHERE s.write_id IS NULL OR audit_rows IS DISTINCT FROM 1 OR events IS DISTINCT FROM 1`,

  'every rejection has one `failed` audit row with its code': `
    SELECT w.company_id, w.idempotency_key FROM idempotent_writes w
    WHERE w.outcome = 'rejected' AND 1 <> (
      SELECT count(*) FROM idempotent_write_audit_log a
      WHERE a.company_id = w.company_id AND a.deterministic_id = w.write_id AND a.status = 'failed'
        AND a.error_code = convert_from(w.response_body, 'UTF8')::jsonb ->> 'code')`,

  'a write that posts has one entry, and no other write has any': `
    SELECT w.company_id, w.operation, w.idempotency_key, w.outcome, count(e.id) AS entries
    FROM idempotent_writes w
    LEFT JOIN journal_entries e ON e.company_id = w.company_id AND e.write_id = w.write_id
    GROUP BY w.company_id, w.idempotency_key
    HAVING count(e.id) NOT BETWEEN
      CASE WHEN w.outcome = 'succeeded' AND w.operation IN (${list(POSTS_ALWAYS)}) THEN 1 ELSE 0 END AND
      CASE WHEN w.outcome = 'succeeded' AND w.operation IN (${list([...POSTS_ALWAYS, ...POSTS_SOMETIMES])}) THEN 1 ELSE 0 END`,

  'a write makes its main row when it succeeds, and only then': `
    SELECT w.company_id, w.operation, w.idempotency_key, w.outcome FROM idempotent_writes w
    WHERE (w.outcome = 'succeeded') <> CASE w.operation
      ${Object.entries(MAIN_ROWS)
        .map(
          ([operation, table]) =>
            `WHEN '${operation}' THEN EXISTS (SELECT FROM ${table} t WHERE t.company_id = w.company_id AND t.id = w.write_id)`,
        )
        .join('\n      ')}
      ELSE w.outcome = 'succeeded' END`,

  ...PAYROLL_CONTROLS,
};

/** Every control that does not hold, with the rows that break it; empty when the books are right. */
export async function brokenControls(owner: pg.Pool): Promise<Readonly<Record<string, readonly unknown[]>>> {
  const broken: Record<string, readonly unknown[]> = {};
  for (const [promise, sql] of Object.entries(CONTROLS)) {
    const { rows } = await owner.query(sql);
    if (rows.length > 0) broken[promise] = rows;
  }
  return broken;
}
