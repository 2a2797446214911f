import { type Control, dated } from './control.ts';

export const LEDGER_CONTROLS: readonly Control[] = [
  {
    name: 'entries-balance',
    sentence: 'Every entry sums to zero in each of its currencies.',
    closesMonth: true,
    of: 'journal_entries',
    compares: { accountCode: null },
    links: ['/api/ledger/entries/{id}'],
    ...dated(
      ({ until }) => `
      SELECT e.company_id, e.id, l.currency, 0 AS expected_minor, l.amount_minor AS found_minor
      FROM (
        SELECT company_id, entry_id, currency, sum(amount_minor) AS amount_minor FROM journal_lines
        GROUP BY company_id, entry_id, currency HAVING sum(amount_minor) <> 0
      ) AS l JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
      WHERE ${until('e.entry_date')}`,
    ),
  },
  {
    name: 'entries-have-lines',
    sentence: 'Every entry has at least two lines.',
    closesMonth: true,
    of: 'journal_entries',
    links: ['/api/ledger/entries/{id}'],
    ...dated(
      ({ until }) => `
      SELECT e.company_id, e.id, l.lines FROM journal_entries e
      LEFT JOIN (
        SELECT company_id, entry_id, count(*) AS lines FROM journal_lines GROUP BY company_id, entry_id
      ) AS l ON l.company_id = e.company_id AND l.entry_id = e.id
      WHERE coalesce(l.lines, 0) < 2 AND ${until('e.entry_date')}`,
    ),
  },
  {
    name: 'trial-balance',
    sentence: 'All lines of a company sum to zero in each currency.',
    closesMonth: true,
    of: 'journal_lines',
    compares: { accountCode: null },
    links: ['/api/ledger/trial-balance?asOf={through}'],
    sql: `
      SELECT company_id, currency, 0 AS expected_minor, sum(amount_minor) AS found_minor FROM journal_lines
      GROUP BY company_id, currency HAVING sum(amount_minor) <> 0`,
    sqlAsOf: `
      SELECT l.company_id, l.currency, 0 AS expected_minor, sum(l.amount_minor) AS found_minor FROM journal_lines l
      LEFT JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
      WHERE e.entry_date IS NULL OR e.entry_date <= $1::date
      GROUP BY l.company_id, l.currency HAVING sum(l.amount_minor) <> 0`,
  },
  {
    name: 'control-accounts',
    sentence: 'Only its own operations post to a control account (1100, 1200).',
    closesMonth: true,
    of: `journal_entries WHERE operation IN ('createJournalEntry', 'reconcileLedger', 'reverseJournalEntry')`,
    links: ['/api/ledger/entries/{id}'],
    ...dated(
      ({ until }) => `
      SELECT e.company_id, e.id, e.operation, a.code FROM journal_entries e
      JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id
      JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
      WHERE a.is_control AND e.operation IN ('createJournalEntry', 'reconcileLedger', 'reverseJournalEntry')
        AND ${until('e.entry_date')}`,
    ),
  },
  {
    name: 'reversals-mirror',
    sentence: 'A reversing entry cancels the original on every account and is not dated before it.',
    closesMonth: true,
    of: 'journal_entries WHERE reverses IS NOT NULL',
    links: ['/api/ledger/entries/{mirror_id}', '/api/ledger/entries/{id}'],
    ...dated(
      ({ until }) => `
      SELECT m.company_id, e.id, m.id AS mirror_id FROM journal_entries m
      JOIN journal_entries e ON e.company_id = m.company_id AND e.id = m.reverses
      LEFT JOIN (
        SELECT DISTINCT company_id, mirror_id FROM (
          SELECT company_id, mirror_id FROM (
            SELECT r.company_id, r.id AS mirror_id, l.account_id, l.currency, l.amount_minor FROM journal_entries r
            JOIN journal_lines l ON l.company_id = r.company_id AND l.entry_id = r.id WHERE r.reverses IS NOT NULL
            UNION ALL
            SELECT r.company_id, r.id, l.account_id, l.currency, l.amount_minor FROM journal_entries r
            JOIN journal_lines l ON l.company_id = r.company_id AND l.entry_id = r.reverses
          ) AS line GROUP BY company_id, mirror_id, account_id, currency HAVING sum(amount_minor) <> 0
        ) AS account
      ) AS left_over ON left_over.company_id = m.company_id AND left_over.mirror_id = m.id
      WHERE ${until('m.entry_date')} AND (m.entry_date < e.entry_date OR left_over.mirror_id IS NOT NULL)`,
    ),
  },
  {
    name: 'closed-years',
    sentence:
      'A closed fiscal year follows the one before it, the books are closed through its end, and it leaves nothing on its income and expense accounts. A closing entry is of a year that was closed, and has its mirror if that was reopened.',
    closesMonth: true,
    of: 'fiscal_year_closings',
    links: ['/api/ledger/fiscal-years/{year}'],
    ...dated(
      ({ until }) => `
      SELECT k.company_id, k.year, NULL AS code, NULL AS currency, NULL AS left_over FROM (
        SELECT company_id, year, starts_on, ends_on, lag(year) OVER years AS year_before, lag(ends_on) OVER years AS end_before
        FROM fiscal_year_closings WHERE reopened_by IS NULL WINDOW years AS (PARTITION BY company_id ORDER BY year)
      ) AS k JOIN companies c ON c.id = k.company_id
      WHERE ${until('k.ends_on')} AND (c.books_closed_through IS NULL OR c.books_closed_through < k.ends_on
        OR (k.year_before + 1, k.end_before + 1) <> (k.year, k.starts_on))
      UNION ALL
      SELECT e.company_id, k.year, a.code, l.currency, sum(l.amount_minor) FROM (
        SELECT company_id, year, ends_on, coalesce(lag(ends_on) OVER (PARTITION BY company_id ORDER BY year), '-infinity') AS after
        FROM fiscal_year_closings WHERE reopened_by IS NULL
      ) AS k
      JOIN journal_entries e ON e.company_id = k.company_id AND e.entry_date > k.after AND e.entry_date <= k.ends_on
      JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id
      JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
      WHERE ${until('k.ends_on')} AND a.type IN ('income', 'expense')
      GROUP BY e.company_id, k.year, a.code, l.currency HAVING sum(l.amount_minor) <> 0
      UNION ALL
      SELECT e.company_id, extract(year FROM e.entry_date)::integer, NULL, NULL, NULL FROM journal_entries e
      LEFT JOIN fiscal_year_closings k ON k.company_id = e.company_id
        AND e.write_id IN (k.id, k.reopened_by) AND k.ends_on = e.entry_date
      LEFT JOIN journal_entries o ON o.company_id = e.company_id AND o.id = e.reverses
      LEFT JOIN journal_entries m ON m.company_id = e.company_id AND m.reverses = e.id
      WHERE entry_kind(e.operation) = 'closing' AND ${until('e.entry_date')} AND (
        k.id IS NULL OR CASE e.write_id WHEN k.id THEN m.write_id IS DISTINCT FROM k.reopened_by
          ELSE o.write_id IS DISTINCT FROM k.id END)`,
    ),
  },
];
