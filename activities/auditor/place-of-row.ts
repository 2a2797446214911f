import type { Control } from '../controls/control.ts';
import type { Finding } from './finding.ts';

/** The tables whose rows the controls name as `id`; a row may name its table itself. */
const TABLES: Readonly<Record<string, string>> = {
  'entries-balance': 'journal_entries',
  'entries-have-lines': 'journal_entries',
  'control-accounts': 'journal_entries',
  'reversals-mirror': 'journal_entries',
  'closed-periods': 'journal_entries',
  'entry-answers': 'journal_entries',
  'invoice-sums': 'invoices',
  'invoice-status': 'invoices',
  'invoice-paid': 'invoices',
  'invoice-credited': 'invoices',
  'invoice-written-off': 'invoices',
  'invoice-answers': 'invoices',
  'write-off-taxes': 'invoices',
  'payment-refunded': 'payments',
  'payment-answers': 'payments',
  'refund-answers': 'refunds',
  'credit-note-sums': 'credit_notes',
  'credit-note-answers': 'credit_notes',
  'write-offs-posted': 'write_offs',
  'write-off-answers': 'write_offs',
  'customer-answers': 'customers',
  'account-answers': 'accounts',
  'pay-run-voids': 'pay_runs',
  'pay-run-sums': 'pay_runs',
  'pay-run-answers': 'pay_runs',
  approvals: 'pay_runs',
  'employee-answers': 'employees',
  'item-movements': 'inventory_items',
  'item-answers': 'inventory_items',
  'bank-matches': 'bank_transactions',
  'bank-answers': 'bank_transactions',
  'difference-reasons': 'reconciliations',
  'reminder-answers': 'invoice_reminders',
  'trigger-answers': 'workflow_triggers',
  'fiscal-year-answers': 'fiscal_year_closings',
};

/** Columns that say by their name what they are the ID of, the narrowest first. */
const COLUMNS: readonly (readonly [column: string, table: string])[] = [
  ['entry_id', 'journal_entries'],
  ['journal_line_id', 'journal_lines'],
  ['invoice_id', 'invoices'],
  ['item_id', 'inventory_items'],
  ['employee_id', 'employees'],
];

/** The row that a row of a control is about, as far as it names one. */
export function placeOf({ name }: Control, row: Readonly<Record<string, unknown>>): Pick<Finding, 'table' | 'rowId'> {
  const documents = textOf(row['documents'])?.replaceAll('-', '_');
  const named = textOf(row['found_in']) ?? documents ?? TABLES[name] ?? null;
  const id = textOf(row['id']);
  if (id !== undefined) return { table: named, rowId: id };
  for (const [column, table] of COLUMNS) {
    const value = textOf(row[column]);
    if (value !== undefined) return { table, rowId: value };
  }
  return { table: named, rowId: null };
}

/** A year is a number. */
function textOf(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint'
    ? String(value)
    : undefined;
}
