import { type Control, dated } from './control.ts';

export const WRITE_OFF_CONTROLS: readonly Control[] = [
  {
    name: 'write-off-taxes',
    sentence:
      'The write-offs of an invoice that are not recovered have the share of its tax together that their sum has of its total, rounded once.',
    closesMonth: true,
    of: 'write_offs',
    links: ['/api/invoices/{id}'],
    ...dated(
      ({ until }) => `
      SELECT i.company_id, i.id, i.tax_minor, i.total_minor, s.amount_minor, s.tax_minor AS shares_minor
      FROM invoices i
      JOIN (
        SELECT company_id, invoice_id, sum(amount_minor) AS amount_minor, sum(tax_minor) AS tax_minor
        FROM write_offs WHERE recovered_on IS NULL GROUP BY company_id, invoice_id
      ) AS s ON s.company_id = i.company_id AND s.invoice_id = i.id
      WHERE ${until('i.issue_date')} AND s.tax_minor <> half_away(i.tax_minor * s.amount_minor, i.total_minor)`,
    ),
  },
  {
    name: 'write-offs-posted',
    sentence:
      'A write-off is posted to bad debts, and with relief its tax share to 2100; a recovery is the mirror of its entry. Both are in the currency of the invoice.',
    closesMonth: true,
    of: 'write_offs',
    links: ['/api/invoices/{invoice_id}'],
    ...dated(
      ({ until }) => `
      SELECT w.company_id, w.invoice_id, w.id FROM write_offs w
      JOIN invoices i ON i.company_id = w.company_id AND i.id = w.invoice_id
      CROSS JOIN LATERAL (SELECT CASE WHEN w.tax_relief THEN w.tax_minor ELSE 0 END AS minor) AS relief
      WHERE ${until('w.written_off_on')} AND (
        EXISTS (
          SELECT FROM (
            SELECT a.role, -l.amount_minor AS amount_minor, l.currency FROM journal_lines l
            JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
            WHERE l.company_id = w.company_id AND l.entry_id = w.journal_entry_id
            UNION ALL SELECT 'bad_debts', w.amount_minor - relief.minor, i.currency
            UNION ALL SELECT 'sales_tax', relief.minor, i.currency
            UNION ALL SELECT 'receivable', -w.amount_minor, i.currency
          ) AS line GROUP BY role, currency HAVING sum(amount_minor) <> 0
        )
        OR w.recovered_on IS NOT NULL AND NOT EXISTS (
          SELECT FROM journal_entries e
          WHERE e.company_id = w.company_id AND e.id = w.recover_entry_id AND e.reverses = w.journal_entry_id))`,
    ),
  },
];
