import { type Control, dated } from './control.ts';

export const BANK_CONTROLS: readonly Control[] = [
  {
    name: 'bank-matches',
    sentence: 'A reconciled bank transaction equals the sum of its matched lines; an unreconciled one has none.',
    closesMonth: true,
    of: 'bank_transactions',
    links: ['/api/bank-transactions/{id}'],
    ...dated(
      ({ until }) => `
      SELECT t.company_id, t.id, t.status, t.amount_minor, sum(l.amount_minor) AS matched_minor FROM bank_transactions t
      LEFT JOIN bank_matches m ON m.company_id = t.company_id AND m.bank_transaction_id = t.id AND m.undone_by IS NULL
      LEFT JOIN journal_lines l ON l.company_id = m.company_id AND l.id = m.journal_line_id
        AND l.account_id = t.account_id AND l.currency = t.currency
      WHERE ${until('t.booked_on')}
      GROUP BY t.company_id, t.id
      HAVING sum(l.amount_minor) IS DISTINCT FROM CASE t.status WHEN 'reconciled' THEN t.amount_minor END
        OR count(m.journal_line_id) <> count(l.id)`,
    ),
  },
  {
    name: 'matched-once',
    sentence: 'A journal line is matched at most once, and never both matched with the bank and reversed.',
    closesMonth: true,
    of: 'bank_matches',
    sql: `
      SELECT company_id, journal_line_id FROM bank_matches
      WHERE undone_by IS NULL GROUP BY company_id, journal_line_id HAVING count(*) > 1
      UNION ALL
      SELECT m.company_id, m.journal_line_id FROM bank_matches m
      JOIN journal_lines l ON l.company_id = m.company_id AND l.id = m.journal_line_id
      JOIN journal_entries e ON e.company_id = l.company_id AND e.reverses = l.entry_id
      WHERE m.undone_by IS NULL AND m.bank_transaction_id IS NOT NULL`,
  },
];
