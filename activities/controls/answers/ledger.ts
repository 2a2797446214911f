import { ACCOUNTS } from '../../ledger/accounts.ts';
import type { Control } from '../control.ts';
import { answersOf, differences, writesOf } from './compare.ts';

const ENTRIES = ['createJournalEntry', 'reverseJournalEntry'];
const ITEM_STEPS = ['createInventoryItem', 'adjustInventory'];
const BANK_STEPS = ['reconcileLedger', 'unreconcileBankTransaction'];

/** Of accounts, entries, stock and the bank: rows against the answers stored for them. */
export const LEDGER_ANSWERS: readonly Control[] = [
  {
    name: 'entry-answers',
    sentence: 'A manual entry, or a reversal, says what its answer said: day, description, lines, who posted it.',
    closesMonth: false,
    of: writesOf(...ENTRIES),
    sql: `${differences({
      operations: ENTRIES,
      rows: `
      JOIN journal_entries e ON e.company_id = w.company_id AND e.id = w.write_id
      LEFT JOIN (
        SELECT company_id, entry_id, count(*) AS lines FROM journal_lines GROUP BY 1, 2
      ) AS l ON l.company_id = e.company_id AND l.entry_id = e.id`,
      id: 'e.id',
      members: {
        date: 'e.entry_date',
        description: 'e.description',
        reverses: 'e.reverses',
        lines: `CASE WHEN jsonb_array_length(a.body -> 'lines') = l.lines THEN a.body -> 'lines' END`,
        metadata: 'e.metadata',
        createdAt: 'e.created_at',
        postedBy: 'w.user_id',
        approvedBy: 'NULL::uuid',
        requestId: 'w.request_id',
        postedAt: 'e.created_at',
      },
    })}
      UNION ALL${differences({
        operations: ENTRIES,
        rows: `
      CROSS JOIN LATERAL jsonb_array_elements(a.body -> 'lines') AS told (line)
      LEFT JOIN journal_lines l
        ON l.company_id = w.company_id AND l.id = (told.line ->> 'id')::uuid AND l.entry_id = w.write_id
      LEFT JOIN accounts c ON c.company_id = l.company_id AND c.id = l.account_id`,
        id: 'w.write_id',
        answer: 'told.line',
        members: {
          id: 'l.id',
          accountCode: 'c.code',
          amount: 'l.amount_minor',
          currency: 'l.currency',
          memo: 'l.memo',
        },
      })}`,
  },
  {
    name: 'account-answers',
    sentence: 'An account has the code, name, type and flags of its answer, or those with which each company began.',
    closesMonth: false,
    of: 'accounts',
    sql: `${differences({
      operations: ['createAccount'],
      rows: 'JOIN accounts c ON c.company_id = w.company_id AND c.id = w.write_id',
      id: 'c.id',
      members: {
        code: 'c.code',
        name: 'c.name',
        type: 'c.type',
        isBank: 'c.is_bank',
        isControl: 'c.is_control',
        createdAt: 'c.created_at',
      },
    })}
      UNION ALL
      SELECT company.id, NULL, NULL, chart.code, 'code, name, type, isBank, isControl'
      FROM companies company
      CROSS JOIN (VALUES
        ('1000', 'Bank', 'asset', true, false),
        ('1100', 'Accounts receivable', 'asset', false, true),
        ('1200', 'Inventory', 'asset', false, true),
        ('2000', 'Accounts payable', 'liability', false, false),
        ('2100', 'Sales tax payable', 'liability', false, false),
        ('2200', 'Payroll taxes payable', 'liability', false, false),
        ('2210', 'Payroll deductions payable', 'liability', false, false),
        ('2220', 'Wages payable', 'liability', false, false),
        ('3000', 'Owner''s equity', 'equity', false, false),
        ('4000', 'Sales revenue', 'income', false, false),
        ('5000', 'Cost of goods sold', 'expense', false, false),
        ('5100', 'Inventory adjustments', 'expense', false, false),
        ('6000', 'Wages expense', 'expense', false, false),
        ('6010', 'Employer payroll tax expense', 'expense', false, false),
        ('6900', 'Bank charges and differences', 'expense', false, false)
      ) AS chart (code, name, type, is_bank, is_control)
      LEFT JOIN accounts c ON c.company_id = company.id AND c.code = chart.code
      WHERE (c.name, c.type, c.is_bank, c.is_control)
        IS DISTINCT FROM (chart.name, chart.type, chart.is_bank, chart.is_control)`,
  },
  {
    name: 'item-answers',
    sentence:
      'An item says what its answers said; each movement leads from the stock of one answer to that of another, the last to the item’s.',
    closesMonth: false,
    of: writesOf(...ITEM_STEPS),
    sql: `${differences({
      operations: ITEM_STEPS,
      rows: `
      JOIN inventory_items t ON t.company_id = w.company_id AND t.id = (a.body ->> 'id')::uuid
      LEFT JOIN inventory_movements m ON m.company_id = w.company_id AND m.id = w.write_id
      CROSS JOIN LATERAL (
        SELECT a.body || CASE w.operation WHEN 'adjustInventory'
          THEN jsonb_build_object('reason', w.request -> 'body' -> 'reason', 'itemId', a.body -> 'id') ELSE '{}' END AS item
        OFFSET 0
      ) AS told`,
      id: 't.id',
      answer: 'told.item',
      members: {
        sku: 't.sku',
        name: 't.name',
        currency: 't.currency',
        itemId: 'm.item_id',
        reason: 'm.reason',
        createdAt: 't.created_at',
      },
    })}
      UNION ALL
      SELECT company_id, NULL, NULL, item_id::text, 'quantity, value'
      FROM (
        -- Stock after each write, less stock before it. What is left over was never answered, or leads nowhere.
        SELECT company_id, (body ->> 'id')::uuid AS item_id, (body ->> 'quantity')::bigint AS quantity,
          (body ->> 'value')::bigint AS value, 1 AS times
        FROM (${answersOf(ITEM_STEPS)}) AS after
        UNION ALL
        SELECT m.company_id, m.item_id, (body ->> 'quantity')::bigint - m.quantity_delta,
          (body ->> 'value')::bigint - m.value_delta_minor, -1
        FROM (${answersOf(['adjustInventory'])}) AS before
        JOIN inventory_movements m ON m.company_id = before.company_id AND m.id = before.write_id
        UNION ALL
        SELECT company_id, id, quantity, value_minor, -1 FROM inventory_items
      ) AS stock
      GROUP BY company_id, item_id, quantity, value HAVING sum(times) <> 0`,
  },
  {
    name: 'bank-answers',
    sentence:
      'A bank transaction says what was imported, and its matches and their reason are those that were answered.',
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
      LEFT JOIN (
        SELECT company_id, matched_by, jsonb_agg(journal_line_id ORDER BY journal_line_id) AS lines FROM bank_matches
        GROUP BY 1, 2
      ) AS m ON m.company_id = w.company_id AND m.matched_by = w.write_id
      LEFT JOIN reconciliations r ON r.company_id = w.company_id AND r.id = w.write_id`,
        id: 't.id',
        members: {
          importId: 't.import_id',
          journalLineIds: { value: `coalesce(m.lines, '[]')`, of: ['reconcileLedger'] },
          differenceEntryId: { value: 'e.id', of: ['reconcileLedger'] },
          reconcileReason: { value: 'r.reason', of: ['reconcileLedger'] },
          createdAt: 't.created_at',
        },
      })}`,
  },
];
