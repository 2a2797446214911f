import type { MonthCheck } from '../../workflows/event-messages.ts';
import type { Tx } from '../database.ts';

/**
 * What stands in the way of closing the books through that day (the last of the month before this one when null). All in
 * one snapshot: the controls of the books either hold in it or they don't.
 */
export async function checkMonth(tx: Tx, through: string | null): Promise<MonthCheck> {
  const [month] = await tx.query<{ through: string; version: number; closed: boolean; over: boolean }>(
    `SELECT d.through, c.version, coalesce(c.books_closed_through >= d.through, false) AS closed,
       d.through < company_today(c.id) AS over
     FROM companies c,
       LATERAL (SELECT coalesce($1::date, date_trunc('month', company_today(c.id))::date - 1) AS through) AS d
     WHERE c.id = current_company()`,
    [through],
  );
  if (month === undefined) throw new Error('Bug! A company without its row');
  const faults = month.over ? [] : [`${month.through} is not over`];
  for (const [fault, sql] of Object.entries(FAULTS)) {
    const [found] = await tx.query<{ fault: boolean }>(`SELECT EXISTS (${sql}) AS fault`, [month.through]);
    if (found?.fault) faults.push(fault);
  }
  return { through: month.through, settingsVersion: month.version, alreadyClosed: month.closed, faults };
}

/** The balance of a control account against the sub-ledger that it sums up, per currency; $1 is of no concern to it. */
function controlAccount(code: string, subLedger: string): string {
  return `
    SELECT FROM (
      SELECT l.currency, sum(l.amount_minor) AS amount_minor
      FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
      WHERE l.company_id = current_company() AND a.code = '${code}' GROUP BY l.currency
    ) AS books
    FULL JOIN (${subLedger}) AS sub USING (currency)
    WHERE $1::date IS NOT NULL AND coalesce(books.amount_minor, 0) <> coalesce(sub.amount_minor, 0)`;
}

/** Each query has rows where its sentence is true. */
const FAULTS: Readonly<Record<string, string>> = {
  'The trial balance is not zero': `
    SELECT FROM journal_lines l JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
    WHERE l.company_id = current_company() AND e.entry_date <= $1
    GROUP BY l.currency HAVING sum(l.amount_minor) <> 0`,

  'Accounts receivable is not what is due on all invoices': controlAccount(
    '1100',
    `SELECT i.currency, sum(i.due_minor) AS amount_minor FROM invoices i
     WHERE i.company_id = current_company() AND i.status <> 'draft' GROUP BY i.currency`,
  ),

  'Inventory is not the value of all items': controlAccount(
    '1200',
    `SELECT i.currency, sum(i.value_minor) AS amount_minor FROM inventory_items i
     WHERE i.company_id = current_company() GROUP BY i.currency`,
  ),

  'What an invoice was paid is not the sum of its payments less refunds': `
    SELECT FROM invoices i LEFT JOIN payments p ON p.company_id = i.company_id AND p.invoice_id = i.id
    WHERE i.company_id = current_company() AND $1::date IS NOT NULL
    GROUP BY i.id, i.paid_minor HAVING i.paid_minor <> coalesce(sum(p.amount_minor - p.refunded_minor), 0)`,

  'A bank transaction is not reconciled': `
    SELECT FROM bank_transactions b
    WHERE b.company_id = current_company() AND b.booked_on <= $1 AND b.status = 'unreconciled'`,
};
