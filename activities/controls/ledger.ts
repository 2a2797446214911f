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
];
