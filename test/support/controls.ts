import type pg from 'pg';
import { PAYROLL_CONTROLS } from './payroll-controls.ts';

/** The operations whose every success posts one entry. */
const POSTS_ALWAYS: readonly string[] = [
  'finalizeInvoice',
  'createPayment',
  'voidInvoice',
  'createCreditNote',
  'createRefund',
  'createJournalEntry',
  'reverseJournalEntry',
  'executePayroll',
  'adjustInventory',
];

/** Those that post one entry or none. */
const POSTS_SOMETIMES: readonly string[] = ['reconcileLedger', 'createInventoryItem'];

/** The table of the main row that an operation makes, which has the write's ID. */
const MAIN_ROWS: Readonly<Record<string, string>> = {
  createCustomer: 'customers',
  createInvoice: 'invoices',
  createPayment: 'payments',
  triggerWorkflow: 'workflow_triggers',
  createCreditNote: 'credit_notes',
  createRefund: 'refunds',
  recordInvoiceReminder: 'invoice_reminders',
  createAccount: 'accounts',
  createJournalEntry: 'journal_entries',
  reverseJournalEntry: 'journal_entries',
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

  'what is refunded of a payment is the sum of its refunds': `
    SELECT p.id, p.refunded_minor, sum(r.amount_minor) AS refunds_minor
    FROM payments p LEFT JOIN refunds r ON r.company_id = p.company_id AND r.payment_id = p.id
    GROUP BY p.company_id, p.id HAVING p.refunded_minor <> coalesce(sum(r.amount_minor), 0)`,

  'what is credited of an invoice is the sum of its credit notes': `
    SELECT i.id, i.credited_minor, sum(n.total_minor) AS notes_minor
    FROM invoices i LEFT JOIN credit_notes n ON n.company_id = i.company_id AND n.invoice_id = i.id
    GROUP BY i.company_id, i.id HAVING i.credited_minor <> coalesce(sum(n.total_minor), 0)`,

  'a credit note is the sum of its lines': `
    SELECT n.id, n.net_minor, sum(l.net_minor) AS line_net_minor, n.tax_minor, sum(l.tax_minor) AS line_tax_minor
    FROM credit_notes n LEFT JOIN credit_note_lines l ON l.company_id = n.company_id AND l.credit_note_id = n.id
    GROUP BY n.company_id, n.id
    HAVING n.net_minor IS DISTINCT FROM sum(l.net_minor) OR n.tax_minor IS DISTINCT FROM sum(l.tax_minor)`,

  'of a line no more is credited than it is, and its tax is credited whole when its net is': `
    SELECT l.invoice_id, l.line_number FROM invoice_lines l
    JOIN credit_note_lines c
      ON c.company_id = l.company_id AND c.invoice_id = l.invoice_id AND c.line_number = l.line_number
    GROUP BY l.company_id, l.invoice_id, l.line_number
    HAVING sum(c.net_minor) > l.net_minor OR sum(c.tax_minor) > l.tax_minor
      OR (sum(c.net_minor) = l.net_minor AND sum(c.tax_minor) <> l.tax_minor)`,

  'what moves a claim posts it to accounts receivable, on its day': `
    WITH movement (company_id, entry_id, day, amount_minor) AS (
      SELECT company_id, journal_entry_id, issue_date, total_minor FROM invoices WHERE number IS NOT NULL
      UNION ALL SELECT i.company_id, e.id, i.voided_on, -i.total_minor FROM invoices i
        LEFT JOIN journal_entries e ON e.company_id = i.company_id AND e.reverses = i.journal_entry_id
        WHERE i.voided_on IS NOT NULL
      UNION ALL SELECT company_id, journal_entry_id, received_on, -amount_minor FROM payments
      UNION ALL SELECT company_id, journal_entry_id, credited_on, -total_minor FROM credit_notes
      UNION ALL SELECT company_id, journal_entry_id, refunded_on, amount_minor FROM refunds
    )
    SELECT m.entry_id, m.day, m.amount_minor FROM movement m
    WHERE NOT EXISTS (
      SELECT FROM journal_entries e
      JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id
      JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id AND a.code = '1100'
      WHERE e.company_id = m.company_id AND e.id = m.entry_id AND e.entry_date = m.day AND l.amount_minor = m.amount_minor)`,

  'an entry that reverses another is its mirror': `
    SELECT e.id, m.id AS mirror_id FROM journal_entries m
    JOIN journal_entries e ON e.company_id = m.company_id AND e.id = m.reverses
    WHERE m.entry_date < e.entry_date OR EXISTS (
      SELECT account_id, currency FROM journal_lines l
      WHERE l.company_id = e.company_id AND l.entry_id IN (e.id, m.id)
      GROUP BY account_id, currency HAVING sum(amount_minor) <> 0)`,

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

  'only its own operations post to a control account': `
    SELECT e.id, e.operation, a.code FROM journal_entries e
    JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id
    JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
    WHERE a.code IN ('1100', '1200') AND e.operation IN ('createJournalEntry', 'reconcileLedger', 'reverseJournalEntry')`,

  'a reconciled bank transaction is the sum of the lines that it is matched with, and no other has any': `
    SELECT t.id, t.status, t.amount_minor, sum(l.amount_minor) AS matched_minor FROM bank_transactions t
    LEFT JOIN bank_matches m ON m.company_id = t.company_id AND m.bank_transaction_id = t.id AND m.undone_by IS NULL
    LEFT JOIN journal_lines l ON l.company_id = m.company_id AND l.id = m.journal_line_id
      AND l.account_id = t.account_id AND l.currency = t.currency
    GROUP BY t.company_id, t.id
    HAVING sum(l.amount_minor) IS DISTINCT FROM CASE t.status WHEN 'reconciled' THEN t.amount_minor END
      OR count(m.journal_line_id) <> count(l.id)`,

  'a line of the books is matched once, or reversed, never both': `
    SELECT journal_line_id FROM bank_matches WHERE undone_by IS NULL GROUP BY company_id, journal_line_id HAVING count(*) > 1
    UNION ALL
    SELECT m.journal_line_id FROM bank_matches m
    JOIN journal_lines l ON l.company_id = m.company_id AND l.id = m.journal_line_id
    JOIN journal_entries e ON e.company_id = l.company_id AND e.reverses = l.entry_id
    WHERE m.undone_by IS NULL AND m.bank_transaction_id IS NOT NULL`,

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
