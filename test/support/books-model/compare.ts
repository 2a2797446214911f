import type pg from 'pg';
import type { Model } from './model.ts';
import { dueOn, statusOf } from './sales.ts';

/** What the model has of the company, in the form in which `readBooks` reads it. */
export function booksOf(model: Model): Readonly<Record<string, unknown>> {
  const sorted = (rows: readonly (readonly unknown[])[]) => rows.map(String).toSorted();
  return {
    balances: sorted([...model.balances].filter(([, amount]) => amount !== 0n)),
    customers: model.customers.size,
    invoices: sorted(
      [...model.invoices].map(([id, invoice]) => [
        id,
        statusOf(invoice),
        invoice.number ?? '',
        dueOn(invoice),
        [...invoice.steps].toSorted((one, other) => one - other),
      ]),
    ),
    payments: sorted([...model.payments].map(([id, { amount, refunded }]) => [id, amount, refunded])),
    bankTransactions: sorted(
      [...model.bankTransactions].map(([id, { reconciled }]) => [id, reconciled ? 'reconciled' : 'unreconciled']),
    ),
    payRuns: sorted([...model.payRuns].map(([id, run]) => [id, run.status, run.gross, run.net, run.employerTax])),
    employees: model.employees.size,
    items: sorted([...model.items].map(([id, { quantity, value }]) => [id, quantity, value])),
    triggers: model.triggers,
    settings: sorted([
      [
        model.settings.version,
        model.settings.baseCurrency,
        model.settings.closedThrough ?? '',
        model.settings.employerRate,
        model.settings.approval,
      ],
    ]),
    members: sorted([...model.members].map(([actor, roles]) => [model.userIds[actor], roles.toSorted()] as const)),
  };
}

/** The same of the database. */
export async function readBooks(
  owner: pg.Pool,
  companyId: string,
  { userIds }: Model,
): Promise<Readonly<Record<string, unknown>>> {
  const lines = async (sql: string) => {
    const { rows } = await owner.query<{ row: string }>(
      `SELECT concat_ws(',', VARIADIC r.cells) AS row FROM (${sql}) AS r`,
      [companyId],
    );
    return rows.map(({ row }) => row).toSorted();
  };
  const count = async (table: string) => {
    const { rows } = await owner.query(`SELECT count(*)::int AS n FROM ${table} WHERE company_id = $1`, [companyId]);
    return rows[0].n;
  };
  return {
    balances: await lines(
      `SELECT ARRAY[a.code || ' ' || l.currency, sum(l.amount_minor)::text] AS cells
       FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
       WHERE l.company_id = $1 GROUP BY a.code, l.currency HAVING sum(l.amount_minor) <> 0`,
    ),
    customers: await count('customers'),
    invoices: await lines(
      `SELECT ARRAY[id::text, status, coalesce(number::text, ''), due_minor::text, array_to_string(ARRAY(
         SELECT r.step FROM invoice_reminders r WHERE r.company_id = i.company_id AND r.invoice_id = i.id ORDER BY 1), ',')]
         AS cells FROM invoices i WHERE company_id = $1`,
    ),
    payments: await lines(
      'SELECT ARRAY[id::text, amount_minor::text, refunded_minor::text] AS cells FROM payments WHERE company_id = $1',
    ),
    bankTransactions: await lines(
      'SELECT ARRAY[id::text, status] AS cells FROM bank_transactions WHERE company_id = $1',
    ),
    payRuns: await lines(
      `SELECT ARRAY[id::text, status, gross_minor::text, net_minor::text, employer_tax_minor::text] AS cells
       FROM pay_runs WHERE company_id = $1`,
    ),
    employees: await count('employees'),
    items: await lines(
      'SELECT ARRAY[id::text, quantity::text, value_minor::text] AS cells FROM inventory_items WHERE company_id = $1',
    ),
    triggers: await count('workflow_triggers'),
    settings: await lines(
      `SELECT ARRAY[version::text, base_currency, coalesce(books_closed_through::text, ''),
         employer_tax_rate_basis_points::text, pay_run_approval_required::text] AS cells FROM companies WHERE id = $1`,
    ),
    members: await lines(
      `SELECT ARRAY[user_id::text, array_to_string(ARRAY(SELECT unnest(roles) ORDER BY 1), ',')] AS cells
       FROM memberships WHERE company_id = $1 AND user_id IN (${Object.values(userIds)
         .map((id) => `'${id}'`)
         .join()})`,
    ),
  };
}
