import { ACCOUNTS } from '../ledger/accounts.ts';
import type { NumberKind } from '../resources/document-number.ts';
import { type Control, dated } from './control.ts';

/** The checks of concurrent clients use it too. */
export const INVOICE_PAID: Control = {
  name: 'invoice-paid',
  sentence: 'The amount paid on an invoice equals its payments less refunds, without those that are void.',
  closesMonth: true,
  of: 'payments',
  links: ['/api/invoices/{id}'],
  ...dated(
    ({ until }) => `
    SELECT i.company_id, i.id, i.paid_minor, coalesce(sum(p.amount_minor - p.refunded_minor), 0) AS payments_minor
    FROM invoices i
    LEFT JOIN payments p ON p.company_id = i.company_id AND p.invoice_id = i.id AND p.voided_on IS NULL
    WHERE ${until('i.issue_date')}
    GROUP BY i.company_id, i.id HAVING i.paid_minor <> coalesce(sum(p.amount_minor - p.refunded_minor), 0)`,
  ),
};

/** Of documents that have numbers of their own. `table` has them as `number`. */
function numbersWithoutGap(name: string, documents: string, table: string, kind: NumberKind): Control {
  return {
    name,
    sentence: `${documents} numbers run from 1 to the counter, without a gap but those that lost writes have left.`,
    closesMonth: true,
    of: `${table} WHERE number IS NOT NULL`,
    links: [`/api/${table.replace('_', '-')}`],
    sql: `
      SELECT company_id, sum(numbers) AS numbers, max(highest) AS highest, sum(last_number) AS last_number,
        sum(lost_numbers) AS lost_numbers
      FROM (
        SELECT company_id, 1 AS numbers, number AS highest, 0 AS last_number, 0 AS lost_numbers FROM ${table}
        WHERE number IS NOT NULL
        UNION ALL
        SELECT company_id, 0, 0, last_number, lost_numbers FROM number_counters WHERE kind = '${kind}'
      ) AS numbered
      GROUP BY company_id
      HAVING sum(numbers) + sum(lost_numbers) <> sum(last_number) OR max(highest) > sum(last_number)`,
  };
}

/** What is due on issued invoices, as it rises and falls: by the documents, not by what they say of each other. */
export const CLAIMS = `
        SELECT company_id, id AS invoice_id, issue_date AS day, total_minor AS amount_minor FROM invoices
          WHERE number IS NOT NULL
        UNION ALL SELECT company_id, id, voided_on, -total_minor FROM invoices WHERE voided_on IS NOT NULL
        UNION ALL SELECT company_id, invoice_id, received_on, -amount_minor FROM payments
        UNION ALL SELECT company_id, invoice_id, voided_on, amount_minor FROM payments WHERE voided_on IS NOT NULL
        UNION ALL SELECT company_id, invoice_id, credited_on, -total_minor FROM credit_notes
        UNION ALL SELECT company_id, invoice_id, voided_on, total_minor FROM credit_notes WHERE voided_on IS NOT NULL
        UNION ALL SELECT r.company_id, p.invoice_id, r.refunded_on, r.amount_minor FROM refunds r
          JOIN payments p ON p.company_id = r.company_id AND p.id = r.payment_id
        UNION ALL SELECT r.company_id, p.invoice_id, r.voided_on, -r.amount_minor FROM refunds r
          JOIN payments p ON p.company_id = r.company_id AND p.id = r.payment_id WHERE r.voided_on IS NOT NULL
        UNION ALL SELECT company_id, invoice_id, written_off_on, -amount_minor FROM write_offs
        UNION ALL SELECT company_id, invoice_id, recovered_on, amount_minor FROM write_offs WHERE recovered_on IS NOT NULL`;

export const INVOICE_CONTROLS: readonly Control[] = [
  {
    name: 'receivable',
    sentence:
      'Accounts receivable (1100) equals the amount due on all invoices except drafts; nothing is due on a void invoice.',
    closesMonth: true,
    of: 'invoices WHERE number IS NOT NULL',
    compares: { accountCode: ACCOUNTS.receivable },
    links: ['/api/ledger/trial-balance?asOf={through}', '/api/reports/aged-receivables?asOf={through}'],
    sql: `
      SELECT company_id, currency, coalesce(sub.due_minor, 0) AS expected_minor,
        coalesce(books.amount_minor, 0) AS found_minor
      FROM (
        SELECT l.company_id, l.currency, sum(l.amount_minor) AS amount_minor
        FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
        WHERE a.code = '${ACCOUNTS.receivable}' GROUP BY l.company_id, l.currency
      ) AS books
      FULL JOIN (
        SELECT company_id, currency, sum(due_minor) AS due_minor FROM invoices WHERE number IS NOT NULL
        GROUP BY company_id, currency
      ) AS sub USING (company_id, currency)
      WHERE coalesce(books.amount_minor, 0) <> coalesce(sub.due_minor, 0)`,
    sqlAsOf: `
      SELECT company_id, currency, coalesce(sub.due_minor, 0) AS expected_minor,
        coalesce(books.amount_minor, 0) AS found_minor
      FROM (
        SELECT l.company_id, l.currency, sum(l.amount_minor) AS amount_minor
        FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
        JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
        WHERE a.code = '${ACCOUNTS.receivable}' AND e.entry_date <= $1::date GROUP BY l.company_id, l.currency
      ) AS books
      FULL JOIN (
        SELECT i.company_id, i.currency, sum(m.amount_minor) AS due_minor
        FROM (${CLAIMS}
        ) AS m JOIN invoices i ON i.company_id = m.company_id AND i.id = m.invoice_id
        WHERE m.day <= $1::date GROUP BY i.company_id, i.currency
      ) AS sub USING (company_id, currency)
      WHERE coalesce(books.amount_minor, 0) <> coalesce(sub.due_minor, 0)`,
  },
  {
    name: 'due-by-day',
    sentence: 'As of no day, less than nothing is due on an invoice, or more than its total.',
    closesMonth: true,
    of: 'invoices WHERE number IS NOT NULL',
    compares: { accountCode: ACCOUNTS.receivable },
    links: ['/api/invoices/{invoice_id}'],
    ...dated(
      ({ until, lastsInto }) => `
      SELECT company_id, invoice_id, currency, day, least(greatest(due_minor, 0), total_minor) AS expected_minor,
        due_minor AS found_minor
      FROM (
        SELECT m.company_id, m.invoice_id, i.currency, i.total_minor, m.day, lead(m.day) OVER days AS next_day,
          sum(m.amount_minor) OVER days AS due_minor
        FROM (
          SELECT company_id, invoice_id, day, sum(amount_minor) AS amount_minor FROM (${CLAIMS}
          ) AS one WHERE ${until('day')} GROUP BY company_id, invoice_id, day
        ) AS m JOIN invoices i ON i.company_id = m.company_id AND i.id = m.invoice_id
        WINDOW days AS (PARTITION BY m.company_id, m.invoice_id ORDER BY m.day)
      ) AS d
      WHERE (due_minor < 0 OR due_minor > total_minor) AND ${lastsInto('next_day')}`,
    ),
  },
  numbersWithoutGap('invoice-numbers', 'Invoice', 'invoices', 'invoice'),
  numbersWithoutGap('payment-numbers', 'Receipt', 'payments', 'payment'),
  numbersWithoutGap('credit-note-numbers', 'Credit note', 'credit_notes', 'credit_note'),
  numbersWithoutGap('refund-numbers', 'Refund', 'refunds', 'refund'),
  {
    name: 'invoice-sums',
    sentence: 'The net and tax of an invoice equal the sums of its lines.',
    closesMonth: true,
    of: 'invoices',
    links: ['/api/invoices/{id}'],
    ...dated(
      ({ until }) => `
      SELECT i.company_id, i.id, i.subtotal_minor, sum(l.net_minor) AS net_minor, i.tax_minor, sum(l.tax_minor) AS line_tax_minor
      FROM invoices i LEFT JOIN invoice_lines l ON l.company_id = i.company_id AND l.invoice_id = i.id
      WHERE ${until('i.issue_date')}
      GROUP BY i.company_id, i.id
      HAVING i.subtotal_minor IS DISTINCT FROM sum(l.net_minor) OR i.tax_minor IS DISTINCT FROM sum(l.tax_minor)`,
    ),
  },
  {
    name: 'invoice-taxes',
    sentence: 'The tax of a line follows from its net and rate, rounded by line, or once per rate over the invoice.',
    closesMonth: true,
    of: 'invoice_lines',
    links: ['/api/invoices/{invoice_id}'],
    ...dated(
      ({ until }) => `
      WITH line AS (
        SELECT l.company_id, l.invoice_id, l.line_number, l.tax_rate_thousandths, l.tax_minor, i.tax_rounding,
          l.net_minor::numeric * l.tax_rate_thousandths * 0.00001 AS share
        FROM invoice_lines l JOIN invoices i ON i.company_id = l.company_id AND i.id = l.invoice_id
        WHERE ${until('i.issue_date')}
      ), spread AS (
        SELECT company_id, invoice_id, line_number, tax_minor, floor(share) AS down,
          row_number() OVER (of_rate ORDER BY share - floor(share) DESC, line_number) AS place,
          round(sum(share) OVER of_rate) - sum(floor(share)) OVER of_rate AS units_left
        FROM line WHERE tax_rounding = 'document'
        WINDOW of_rate AS (PARTITION BY company_id, invoice_id, tax_rate_thousandths)
      )
      SELECT company_id, invoice_id, line_number, tax_minor, round(share) AS due_minor FROM line
      WHERE tax_rounding = 'line' AND tax_minor <> round(share)
      UNION ALL
      SELECT company_id, invoice_id, line_number, tax_minor, due.minor FROM spread
      CROSS JOIN LATERAL (SELECT down + CASE WHEN place <= units_left THEN 1 ELSE 0 END AS minor) AS due
      WHERE tax_minor <> due.minor`,
    ),
  },
  {
    name: 'invoice-status',
    sentence: 'The amount due and the status of an invoice follow from its amounts.',
    closesMonth: true,
    of: 'invoices',
    links: ['/api/invoices/{id}'],
    ...dated(
      ({ until }) => `
      SELECT company_id, id, status, total_minor, paid_minor, credited_minor, written_off_minor, due_minor FROM invoices
      WHERE ${until('issue_date')} AND (status <> CASE
          WHEN voided_on IS NOT NULL THEN 'void' WHEN discarded_on IS NOT NULL THEN 'discarded'
          WHEN journal_entry_id IS NULL THEN 'draft'
          WHEN due_minor = 0 THEN CASE written_off_minor WHEN 0 THEN 'paid' ELSE 'written_off' END
          WHEN paid_minor + credited_minor > 0 THEN 'partially_paid' ELSE 'finalized' END
        OR due_minor <> CASE WHEN voided_on IS NULL AND discarded_on IS NULL
          THEN total_minor - paid_minor - credited_minor - written_off_minor ELSE 0 END)`,
    ),
  },
  INVOICE_PAID,
  {
    name: 'payment-refunded',
    sentence: 'The refunded amount of a payment equals the sum of its refunds that are not void.',
    closesMonth: true,
    of: 'refunds',
    links: ['/api/payments/{id}'],
    ...dated(
      ({ until }) => `
      SELECT p.company_id, p.id, p.refunded_minor, sum(r.amount_minor) AS refunds_minor
      FROM payments p
      LEFT JOIN refunds r ON r.company_id = p.company_id AND r.payment_id = p.id AND r.voided_on IS NULL
      WHERE ${until('p.received_on')}
      GROUP BY p.company_id, p.id HAVING p.refunded_minor <> coalesce(sum(r.amount_minor), 0)`,
    ),
  },
  {
    name: 'invoice-credited',
    sentence: 'The credited amount of an invoice equals the sum of its credit notes that are not void.',
    closesMonth: true,
    of: 'credit_notes',
    links: ['/api/invoices/{id}'],
    ...dated(
      ({ until }) => `
      SELECT i.company_id, i.id, i.credited_minor, sum(n.total_minor) AS notes_minor
      FROM invoices i
      LEFT JOIN credit_notes n ON n.company_id = i.company_id AND n.invoice_id = i.id AND n.voided_on IS NULL
      WHERE ${until('i.issue_date')}
      GROUP BY i.company_id, i.id HAVING i.credited_minor <> coalesce(sum(n.total_minor), 0)`,
    ),
  },
  {
    name: 'invoice-written-off',
    sentence: 'The amount written off of an invoice equals the sum of its write-offs that are not recovered.',
    closesMonth: true,
    of: 'write_offs',
    links: ['/api/invoices/{id}'],
    ...dated(
      ({ until }) => `
      SELECT i.company_id, i.id, i.written_off_minor, sum(w.amount_minor) AS write_offs_minor
      FROM invoices i
      LEFT JOIN write_offs w ON w.company_id = i.company_id AND w.invoice_id = i.id AND w.recovered_on IS NULL
      WHERE ${until('i.issue_date')}
      GROUP BY i.company_id, i.id HAVING i.written_off_minor <> coalesce(sum(w.amount_minor), 0)`,
    ),
  },
  {
    name: 'credit-note-sums',
    sentence: 'The net and tax of a credit note equal the sums of its lines.',
    closesMonth: true,
    of: 'credit_notes',
    links: ['/api/credit-notes/{id}'],
    ...dated(
      ({ until }) => `
      SELECT n.company_id, n.id, n.net_minor, sum(l.net_minor) AS line_net_minor, n.tax_minor, sum(l.tax_minor) AS line_tax_minor
      FROM credit_notes n LEFT JOIN credit_note_lines l ON l.company_id = n.company_id AND l.credit_note_id = n.id
      WHERE ${until('n.credited_on')}
      GROUP BY n.company_id, n.id
      HAVING n.net_minor IS DISTINCT FROM sum(l.net_minor) OR n.tax_minor IS DISTINCT FROM sum(l.tax_minor)`,
    ),
  },
  {
    name: 'credit-within-line',
    sentence:
      'No line is credited for more than its amount; once its net is fully credited, so is its tax, or as much of it as lines with negative amounts leave at its rate.',
    closesMonth: true,
    of: 'credit_note_lines',
    links: ['/api/invoices/{invoice_id}'],
    ...dated(
      ({ until }) => `
      SELECT l.company_id, l.invoice_id, l.line_number FROM invoice_lines l
      JOIN credit_note_lines c
        ON c.company_id = l.company_id AND c.invoice_id = l.invoice_id AND c.line_number = l.line_number
      JOIN credit_notes n ON n.company_id = c.company_id AND n.id = c.credit_note_id
        AND n.voided_on IS NULL AND ${until('n.credited_on')}
      GROUP BY l.company_id, l.invoice_id, l.line_number
      HAVING sum(c.net_minor) > l.net_minor OR sum(c.tax_minor) > l.tax_minor
        OR (sum(c.net_minor) = l.net_minor AND sum(c.tax_minor) <> l.tax_minor AND NOT EXISTS (
          SELECT FROM credit_left_at_rate(l.company_id, l.invoice_id, l.tax_rate_thousandths) AS r WHERE r.tax_minor <= 0))`,
    ),
  },
  {
    name: 'claims-posted',
    sentence:
      'Invoices, payments, credit notes, refunds and write-offs are posted to 1100 with their amount and date, and so is what takes one of them back.',
    closesMonth: true,
    of: 'invoices WHERE number IS NOT NULL UNION ALL SELECT company_id FROM payments',
    links: ['/api/{documents}/{id}'],
    ...dated(
      ({ until }) => `
      WITH movement (company_id, documents, id, entry_id, day, amount_minor) AS (
        SELECT company_id, 'invoices', id, journal_entry_id, issue_date, total_minor FROM invoices WHERE number IS NOT NULL
        UNION ALL SELECT i.company_id, 'invoices', i.id, e.id, i.voided_on, -i.total_minor FROM invoices i
          LEFT JOIN journal_entries e ON e.company_id = i.company_id AND e.reverses = i.journal_entry_id
          WHERE i.voided_on IS NOT NULL
        UNION ALL SELECT company_id, 'payments', id, journal_entry_id, received_on, -amount_minor FROM payments
        UNION ALL SELECT company_id, 'payments', id, void_entry_id, voided_on, amount_minor FROM payments
          WHERE voided_on IS NOT NULL
        UNION ALL SELECT company_id, 'credit-notes', id, journal_entry_id, credited_on, -total_minor FROM credit_notes
        UNION ALL SELECT company_id, 'credit-notes', id, void_entry_id, voided_on, total_minor FROM credit_notes
          WHERE voided_on IS NOT NULL
        UNION ALL SELECT company_id, 'refunds', id, journal_entry_id, refunded_on, amount_minor FROM refunds
        UNION ALL SELECT company_id, 'refunds', id, void_entry_id, voided_on, -amount_minor FROM refunds
          WHERE voided_on IS NOT NULL
        UNION ALL SELECT company_id, 'invoices', invoice_id, journal_entry_id, written_off_on, -amount_minor FROM write_offs
        UNION ALL SELECT company_id, 'invoices', invoice_id, recover_entry_id, recovered_on, amount_minor FROM write_offs
          WHERE recovered_on IS NOT NULL
      )
      SELECT m.company_id, m.documents, m.id, m.entry_id, m.day, m.amount_minor FROM movement m
      WHERE ${until('m.day')} AND NOT EXISTS (
        SELECT FROM journal_entries e
        JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id
        JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id AND a.code = '${ACCOUNTS.receivable}'
        WHERE e.company_id = m.company_id AND e.id = m.entry_id AND e.entry_date = m.day AND l.amount_minor = m.amount_minor)`,
    ),
  },
  {
    name: 'sales-posted',
    sentence:
      'Invoices and credit notes are posted to the accounts of their lines and to 2100, payments and refunds to their bank account.',
    closesMonth: true,
    of: 'invoices WHERE number IS NOT NULL UNION ALL SELECT company_id FROM payments',
    links: ['/api/ledger/entries/{entry_id}'],
    ...dated(
      ({ until }) => `
      WITH document (company_id, entry_id, currency, account_id, amount_minor) AS (
        SELECT i.company_id, i.journal_entry_id, i.currency, l.account_id, -l.net_minor FROM invoices i
          JOIN invoice_lines l ON l.company_id = i.company_id AND l.invoice_id = i.id WHERE i.journal_entry_id IS NOT NULL
        UNION ALL SELECT i.company_id, i.journal_entry_id, i.currency, a.id, -l.tax_minor FROM invoices i
          JOIN invoice_lines l ON l.company_id = i.company_id AND l.invoice_id = i.id
          JOIN accounts a ON a.company_id = i.company_id AND a.code = '${ACCOUNTS.salesTax}' WHERE i.journal_entry_id IS NOT NULL
        UNION ALL SELECT n.company_id, n.journal_entry_id, n.currency, l.account_id, c.net_minor FROM credit_notes n
          JOIN credit_note_lines c ON c.company_id = n.company_id AND c.credit_note_id = n.id
          JOIN invoice_lines l
            ON l.company_id = c.company_id AND l.invoice_id = c.invoice_id AND l.line_number = c.line_number
        UNION ALL SELECT n.company_id, n.journal_entry_id, n.currency, a.id, c.tax_minor FROM credit_notes n
          JOIN credit_note_lines c ON c.company_id = n.company_id AND c.credit_note_id = n.id
          JOIN accounts a ON a.company_id = n.company_id AND a.code = '${ACCOUNTS.salesTax}'
        UNION ALL SELECT p.company_id, p.journal_entry_id, i.currency, p.bank_account_id, p.amount_minor FROM payments p
          JOIN invoices i ON i.company_id = p.company_id AND i.id = p.invoice_id
        UNION ALL SELECT r.company_id, r.journal_entry_id, i.currency, p.bank_account_id, -r.amount_minor FROM refunds r
          JOIN payments p ON p.company_id = r.company_id AND p.id = r.payment_id
          JOIN invoices i ON i.company_id = p.company_id AND i.id = p.invoice_id
      ), line AS (
        -- 1100 is compared by claims-posted. Only an invoice with a line on 2100 both debits and credits an account.
        SELECT l.company_id, l.entry_id, l.currency, l.account_id,
          CASE WHEN a.code = '${ACCOUNTS.receivable}' THEN 0 ELSE -l.amount_minor END AS amount_minor,
          CASE WHEN a.code <> '${ACCOUNTS.salesTax}' THEN l.amount_minor END AS posted
        FROM journal_entries e
        JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id
        JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
        WHERE e.operation IN ('finalizeInvoice', 'createCreditNote', 'createPayment', 'createRefund')
      )
      SELECT d.* FROM (
        SELECT company_id, entry_id, currency, account_id, sum(amount_minor) AS not_posted_minor
        FROM (SELECT *, NULL::bigint AS posted FROM document UNION ALL SELECT * FROM line) AS both_sides
        GROUP BY company_id, entry_id, currency, account_id
        HAVING sum(amount_minor) <> 0 OR min(posted) < 0 AND max(posted) > 0
      ) AS d LEFT JOIN journal_entries e ON e.company_id = d.company_id AND e.id = d.entry_id
      WHERE e.id IS NULL OR ${until('e.entry_date')}`,
    ),
  },
  {
    name: 'one-currency',
    sentence: 'A payment has the currency of its invoice, and so do the entries of both.',
    closesMonth: true,
    of: 'payments',
    links: ['/api/{documents}/{id}'],
    ...dated(
      ({ until }) => `
      SELECT p.company_id, 'payments' AS documents, p.id FROM payments p
      JOIN invoices i ON i.company_id = p.company_id AND i.id = p.invoice_id
      JOIN journal_lines l ON l.company_id = p.company_id AND l.entry_id = p.journal_entry_id
      WHERE ${until('p.received_on')} AND (p.currency <> i.currency OR l.currency <> p.currency)
      UNION ALL
      SELECT i.company_id, 'invoices', i.id FROM invoices i
      JOIN journal_lines l ON l.company_id = i.company_id AND l.entry_id = i.journal_entry_id
      WHERE ${until('i.issue_date')} AND l.currency <> i.currency`,
    ),
  },
];
