import type { Control } from '../control.ts';
import { answersOf, changes, differences, writesOf } from './compare.ts';

const ENTRIES = ['createJournalEntry', 'reverseJournalEntry'];
const STOCK_STEPS = ['createInventoryItem', 'adjustInventory'];
const ITEM_STEPS = [...STOCK_STEPS, 'updateInventoryItem'];

/** The accounts with which each company begins: role, code (null: of its own in some companies), type, is_bank, is_control. */
const CHART = `VALUES
        ('bank', '1000', 'asset', true, false),
        ('receivable', '1100', 'asset', false, true),
        ('inventory', '1200', 'asset', false, true),
        ('payable', '2000', 'liability', false, false),
        ('sales_tax', '2100', 'liability', false, false),
        ('payroll_taxes', '2200', 'liability', false, false),
        ('payroll_deductions', '2210', 'liability', false, false),
        ('wages_payable', '2220', 'liability', false, false),
        ('owners_equity', '3000', 'equity', false, false),
        ('retained_earnings', NULL, 'equity', false, false),
        ('sales', '4000', 'income', false, false),
        ('cost_of_goods_sold', '5000', 'expense', false, false),
        ('inventory_adjustments', '5100', 'expense', false, false),
        ('wages', '6000', 'expense', false, false),
        ('employer_tax', '6010', 'expense', false, false),
        ('bad_debts', NULL, 'expense', false, false),
        ('bank_charges', '6900', 'expense', false, false)`;

/** Of accounts, entries and stock: rows against the answers stored for them. */
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
      CROSS JOIN LATERAL (
        SELECT count(*) AS lines FROM journal_lines l WHERE l.company_id = e.company_id AND l.entry_id = e.id
      ) AS l`,
      id: 'e.id',
      members: {
        date: 'e.entry_date',
        kind: 'entry_kind(e.operation)',
        description: 'e.description',
        reverses: 'e.reverses',
        lines: `CASE WHEN jsonb_array_length(a.body -> 'lines') = l.lines THEN a.body -> 'lines' END`,
        metadata: 'e.metadata',
        createdAt: 'e.created_at',
        postedBy: 'w.user_id',
        approvedBy:
          '(SELECT q.approved_by FROM approval_requests q WHERE q.company_id = w.company_id AND q.write_id = w.write_id)',
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
    sentence:
      'An account has the code, type and flags of its answer, or is the one of its role. Its name may be corrected.',
    closesMonth: false,
    of: 'accounts',
    sql: `${differences({
      operations: ['createAccount'],
      rows: `JOIN accounts c ON c.company_id = w.company_id AND c.id = (a.body ->> 'id')::uuid`,
      id: 'c.id',
      members: {
        code: 'c.code',
        type: 'c.type',
        isBank: 'c.is_bank',
        isControl: 'c.is_control',
        role: 'c.role',
        createdAt: 'c.created_at',
      },
    })}
      UNION ALL
      SELECT company.id, NULL, NULL, coalesce(c.code, chart.code, chart.role), 'role, code, type, isBank, isControl'
      FROM companies company
      CROSS JOIN (${CHART}) AS chart (role, code, type, is_bank, is_control)
      LEFT JOIN accounts c ON c.company_id = company.id AND c.role = chart.role
      WHERE (c.code, c.type, c.is_bank, c.is_control)
        IS DISTINCT FROM (coalesce(chart.code, c.code), chart.type, chart.is_bank, chart.is_control)
      UNION ALL
      SELECT c.company_id, NULL, NULL, c.code, 'id' FROM accounts c
      WHERE c.role IS NULL AND NOT EXISTS (
        SELECT FROM idempotent_writes w WHERE w.company_id = c.company_id AND w.write_id = c.id
          AND w.outcome = 'succeeded' AND w.operation = 'createAccount')`,
  },
  {
    name: 'fiscal-year-answers',
    sentence: 'A fiscal year was closed with the days, the entry and, until it is reopened, the result of its answer.',
    closesMonth: false,
    of: writesOf('closeFiscalYear', 'reopenFiscalYear'),
    sql: differences({
      operations: ['closeFiscalYear', 'reopenFiscalYear'],
      rows: `
      LEFT JOIN fiscal_year_closings k ON k.company_id = w.company_id
        AND w.write_id = CASE w.operation WHEN 'closeFiscalYear' THEN k.id ELSE k.reopened_by END
      CROSS JOIN LATERAL (
        SELECT coalesce(jsonb_agg(jsonb_build_object('currency', r.currency, 'amount', CASE
          WHEN abs(r.amount) < 9007199254740992 THEN to_jsonb(r.amount) ELSE to_jsonb(r.amount::text) END)
          ORDER BY r.currency), '[]') AS result
        FROM (
          SELECT l.currency, -sum(l.amount_minor) AS amount FROM journal_entries e
          JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id
          JOIN accounts c ON c.company_id = l.company_id AND c.id = l.account_id
          WHERE e.company_id = k.company_id AND e.entry_date BETWEEN k.starts_on AND k.ends_on
            AND entry_kind(e.operation) = 'normal' AND c.type IN ('income', 'expense')
          GROUP BY l.currency
        ) AS r
      ) AS now`,
      id: 'k.year',
      members: {
        year: 'k.year',
        from: { value: 'k.starts_on', of: ['closeFiscalYear'] },
        to: { value: 'k.ends_on', of: ['closeFiscalYear'] },
        closingEntryId: {
          value: '(SELECT e.id FROM journal_entries e WHERE e.company_id = k.company_id AND e.write_id = k.id)',
          of: ['closeFiscalYear'],
        },
        result: {
          value: "CASE WHEN k.reopened_by IS NULL THEN now.result ELSE a.body -> 'result' END",
          of: ['closeFiscalYear'],
        },
      },
    }),
  },
  {
    name: 'item-answers',
    sentence:
      'An item says what its answers said, its name and SKU what the last of them did, and a movement has the day asked for; each movement leads from the stock of one answer to that of another, the last to the item’s.',
    closesMonth: false,
    of: writesOf(...ITEM_STEPS),
    sql: `${differences({
      operations: ITEM_STEPS,
      rows: `
      JOIN inventory_items t ON t.company_id = w.company_id AND t.id = (a.body ->> 'id')::uuid
      LEFT JOIN inventory_movements m ON m.company_id = w.company_id AND m.id = w.write_id
      CROSS JOIN LATERAL (
        -- Whoever asked for no day was given that day somewhere in the world.
        SELECT a.body || CASE WHEN m.id IS NULL THEN '{}' ELSE jsonb_build_object('date', coalesce(
          w.request -> 'body' -> 'date',
          CASE WHEN abs(m.moved_on - (w.claimed_at AT TIME ZONE 'UTC')::date) <= 1 THEN to_jsonb(m.moved_on) END)) END || CASE w.operation WHEN 'adjustInventory'
          THEN jsonb_build_object('reason', w.request -> 'body' -> 'reason', 'itemId', a.body -> 'id') ELSE '{}' END AS item
        OFFSET 0
      ) AS told`,
      id: 't.id',
      answer: 'told.item',
      members: {
        currency: 't.currency',
        itemId: 'm.item_id',
        reason: 'm.reason',
        date: 'm.moved_on',
        createdAt: 't.created_at',
      },
    })}
      UNION ALL${changes({
        operations: ITEM_STEPS,
        changing: ['updateInventoryItem'],
        table: 'inventory_items',
        members: { sku: 't.sku', name: 't.name' },
      })}
      UNION ALL
      SELECT company_id, NULL, NULL, item_id::text, 'quantity, value'
      FROM (
        -- Stock after each write, less stock before it. What is left over was never answered, or leads nowhere.
        SELECT company_id, (body ->> 'id')::uuid AS item_id, (body ->> 'quantity')::bigint AS quantity,
          (body ->> 'value')::bigint AS value, 1 AS times
        FROM (${answersOf(STOCK_STEPS)}) AS after
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
];
