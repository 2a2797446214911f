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
    name: 'differences-posted',
    sentence:
      'What a bank transaction is more than its other matched lines is posted to its bank account against the account asked for, on its date.',
    closesMonth: true,
    of: `journal_entries WHERE operation = 'reconcileLedger'`,
    links: ['/api/ledger/entries/{entry_id}'],
    ...dated(
      ({ until }) => `
      WITH difference AS (
        SELECT e.company_id, e.id AS entry_id, t.booked_on AS day, t.currency, side.account_id, side.amount_minor
        FROM journal_entries e
        JOIN idempotent_writes w ON w.company_id = e.company_id AND w.write_id = e.write_id
        JOIN bank_transactions t ON t.company_id = w.company_id
          -- The resource of other operations may be no UUID.
          AND t.id = CASE w.operation WHEN 'reconcileLedger' THEN w.resource_id::uuid END
        LEFT JOIN accounts a ON a.company_id = w.company_id AND a.code = w.request -> 'body' ->> 'differenceAccountCode'
        LEFT JOIN (
          SELECT m.company_id, m.matched_by, sum(l.amount_minor) AS amount_minor FROM bank_matches m
          JOIN journal_entries d ON d.company_id = m.company_id AND d.write_id = m.matched_by
          JOIN journal_lines l ON l.company_id = m.company_id AND l.id = m.journal_line_id AND l.entry_id <> d.id
          GROUP BY m.company_id, m.matched_by
        ) AS matched ON matched.company_id = e.company_id AND matched.matched_by = e.write_id
        CROSS JOIN LATERAL (SELECT t.amount_minor - coalesce(matched.amount_minor, 0) AS amount_minor) AS rest
        CROSS JOIN LATERAL (VALUES (t.account_id, rest.amount_minor), (a.id, -rest.amount_minor)) AS side (account_id, amount_minor)
        WHERE e.operation = 'reconcileLedger' AND ${until('t.booked_on')}
      ), line AS (
        SELECT e.company_id, e.id AS entry_id, e.entry_date AS day, l.currency, l.account_id, -l.amount_minor AS amount_minor
        FROM journal_entries e
        JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id
        WHERE e.operation = 'reconcileLedger' AND ${until('e.entry_date')}
      )
      SELECT company_id, entry_id, day, currency, account_id, sum(amount_minor) AS not_posted_minor
      FROM (SELECT *, NULL::bigint AS posted FROM difference UNION ALL SELECT *, amount_minor FROM line) AS both_sides
      GROUP BY company_id, entry_id, day, currency, account_id
      HAVING sum(amount_minor) <> 0 OR min(posted) < 0 AND max(posted) > 0`,
    ),
  },
  {
    name: 'matched-once',
    sentence:
      'A journal line is matched at most once, and never both matched with the bank and reversed, but for a payment that bounced.',
    closesMonth: true,
    of: 'bank_matches',
    sql: `
      SELECT company_id, journal_line_id FROM bank_matches
      WHERE undone_by IS NULL GROUP BY company_id, journal_line_id HAVING count(*) > 1
      UNION ALL
      SELECT m.company_id, m.journal_line_id FROM bank_matches m
      JOIN journal_lines l ON l.company_id = m.company_id AND l.id = m.journal_line_id
      JOIN journal_entries e ON e.company_id = l.company_id AND e.reverses = l.entry_id
      WHERE m.undone_by IS NULL AND m.bank_transaction_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM payments p WHERE p.company_id = e.company_id AND p.void_entry_id = e.id AND p.bounced)`,
  },
];
