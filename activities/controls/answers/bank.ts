import { ACCOUNTS } from '../../ledger/accounts.ts';
import type { Control } from '../control.ts';
import { answersOf, differences, writesOf } from './compare.ts';

const BANK_STEPS = ['reconcileLedger', 'unreconcileBankTransaction'];

/** Of the bank: rows against the answers stored for them. */
export const BANK_ANSWERS: readonly Control[] = [
  {
    name: 'bank-answers',
    sentence:
      'A bank transaction is in the answer of its import and says what was imported; its matches and their reason are those that were answered, made by reconciling it, and undone by what undid that.',
    closesMonth: false,
    of: writesOf('importBankTransactions', ...BANK_STEPS),
    sql: `${differences({
      operations: ['importBankTransactions'],
      rows: `
      CROSS JOIN LATERAL (
        SELECT item || (w.request -> 'body' -> 'transactions' -> (place - 1)::int) || jsonb_build_object(
          'accountCode', coalesce(w.request -> 'body' -> 'accountCode', '"${ACCOUNTS.bank}"')) AS row
        FROM jsonb_array_elements(a.body -> 'items') WITH ORDINALITY AS items (item, place)
        WHERE item ->> 'result' = 'imported' OFFSET 0
      ) AS told
      LEFT JOIN bank_transactions t
        ON t.company_id = w.company_id AND t.import_id = w.write_id AND t.id = (told.row ->> 'id')::uuid
      LEFT JOIN accounts c ON c.company_id = t.company_id AND c.id = t.account_id`,
      id: 't.id',
      answer: 'told.row',
      members: {
        id: 't.id',
        accountCode: 'c.code',
        bankReference: 't.bank_reference',
        date: 't.booked_on',
        amount: 't.amount_minor',
        currency: 't.currency',
        description: 't.description',
      },
    })}
      UNION ALL${differences({
        operations: BANK_STEPS,
        rows: `
      JOIN bank_transactions t ON t.company_id = w.company_id AND t.id = (a.body ->> 'id')::uuid
      LEFT JOIN journal_entries e ON e.company_id = w.company_id AND e.write_id = w.write_id
      CROSS JOIN LATERAL (
        SELECT jsonb_agg(m.journal_line_id ORDER BY m.journal_line_id) AS lines FROM bank_matches m
        WHERE m.company_id = w.company_id AND m.matched_by = w.write_id
      ) AS m
      LEFT JOIN reconciliations r ON r.company_id = w.company_id AND r.id = w.write_id`,
        id: 't.id',
        members: {
          importId: 't.import_id',
          journalLineIds: { value: `coalesce(m.lines, '[]')`, of: ['reconcileLedger'] },
          differenceEntryId: { value: 'e.id', of: ['reconcileLedger'] },
          reconcileReason: { value: 'r.reason', of: ['reconcileLedger'] },
          createdAt: 't.created_at',
        },
      })}
      UNION ALL
      SELECT t.company_id, NULL, t.import_id, t.id::text, 'id' FROM bank_transactions t
      LEFT JOIN (
        SELECT company_id, write_id, item ->> 'id' AS id FROM (${answersOf(['importBankTransactions'])}) AS import
        CROSS JOIN LATERAL jsonb_array_elements(body -> 'items') AS item WHERE item ->> 'result' = 'imported'
      ) AS told ON told.company_id = t.company_id AND told.write_id = t.import_id AND told.id = t.id::text
      WHERE told.id IS NULL
      UNION ALL
      -- Each match, from the write that made it to the one that undid it.
      SELECT m.company_id, made.operation, m.matched_by, coalesce(m.bank_transaction_id, m.journal_line_id)::text, 'matched'
      FROM bank_matches m
      LEFT JOIN (SELECT * FROM ${writesOf('reconcileLedger', 'reverseJournalEntry', 'voidPayment', 'voidRefund')}) AS made
        ON made.company_id = m.company_id AND made.write_id = m.matched_by
      LEFT JOIN (SELECT * FROM ${writesOf('unreconcileBankTransaction', 'reverseJournalEntry')}) AS undone
        ON undone.company_id = m.company_id AND undone.write_id = m.undone_by
      LEFT JOIN bank_transactions t ON t.company_id = m.company_id AND t.id = m.bank_transaction_id
      LEFT JOIN journal_lines l ON l.company_id = m.company_id AND l.id = m.journal_line_id
      LEFT JOIN journal_entries mirror ON mirror.company_id = m.company_id AND mirror.write_id = made.write_id
      LEFT JOIN journal_entries undoing ON undoing.company_id = m.company_id AND undoing.write_id = undone.write_id
      LEFT JOIN journal_entries difference ON difference.company_id = m.company_id AND difference.id = undoing.reverses
      WHERE CASE WHEN m.bank_transaction_id IS NULL
        THEN coalesce(made.operation, 'reconcileLedger') = 'reconcileLedger' OR m.undone_by IS NOT NULL
          OR l.entry_id NOT IN (mirror.id, mirror.reverses)
        ELSE made.operation IS DISTINCT FROM 'reconcileLedger' OR made.resource_id <> m.bank_transaction_id::text
          OR (t.reconciled_by IS NOT DISTINCT FROM m.matched_by) <> (m.undone_by IS NULL)
          OR m.undone_by IS NOT NULL AND NOT coalesce(CASE undone.operation
            WHEN 'reverseJournalEntry' THEN difference.write_id = m.matched_by
            ELSE undone.resource_id = m.bank_transaction_id::text END, false) END
      UNION ALL
      -- The lines of what no bank will tell of match each other; those of a payment that bounced do not.
      SELECT v.company_id, v.operation, v.write_id, v.id::text, 'matched' FROM (
        SELECT p.company_id, e.operation, e.write_id, p.id, CASE WHEN p.bounced THEN 0 ELSE 2 END AS lines
        FROM payments p JOIN journal_entries e ON e.company_id = p.company_id AND e.id = p.void_entry_id
        UNION ALL SELECT r.company_id, e.operation, e.write_id, r.id, 2
        FROM refunds r JOIN journal_entries e ON e.company_id = r.company_id AND e.id = r.void_entry_id
      ) AS v WHERE v.lines <> (
        SELECT count(*) FROM bank_matches m WHERE m.company_id = v.company_id AND m.matched_by = v.write_id)
      UNION ALL
      -- Whatever undid a match has left it undone.
      SELECT w.company_id, w.operation, w.write_id, w.resource_id, 'status' FROM idempotent_writes w
      LEFT JOIN journal_entries e ON e.company_id = w.company_id AND e.write_id = w.write_id
      LEFT JOIN journal_entries difference ON difference.company_id = e.company_id AND difference.id = e.reverses
      WHERE w.outcome = 'succeeded' AND (w.operation = 'unreconcileBankTransaction'
          OR w.operation = 'reverseJournalEntry' AND difference.operation = 'reconcileLedger')
        AND NOT EXISTS (SELECT FROM bank_matches m WHERE m.company_id = w.company_id AND m.undone_by = w.write_id)`,
  },
];
