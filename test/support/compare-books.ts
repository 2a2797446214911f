import type pg from 'pg';
import type { Books } from '../../deploy/simulate/requests/books.ts';
import { dueOn, statusOf } from '../../deploy/simulate/requests/invoices.ts';

type Comparison = {
  /** One row a thing: what is compared of it. */
  should(books: Books): readonly (readonly unknown[])[];
  /** The same columns of the company $1, as text. */
  readonly sql: string;
};

const count = (should: (books: Books) => number, table: string): Comparison => ({
  should: (books) => [[should(books)]],
  sql: `SELECT count(*) FROM ${table} WHERE company_id = $1`,
});

const COMPARISONS: Readonly<Record<string, Comparison>> = {
  balances: {
    should: ({ balances }) => [...balances].filter(([, amount]) => amount !== 0n),
    sql: `SELECT a.code || ' ' || l.currency, sum(l.amount_minor)
      FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
      WHERE l.company_id = $1 GROUP BY 1 HAVING sum(l.amount_minor) <> 0`,
  },
  customers: {
    should: ({ customers }) =>
      [...customers].map(([id, { name, email, reference, metadata }]) => {
        return [id, name, email ?? '', reference ?? '', metadata?.['room'] ?? ''];
      }),
    sql: `SELECT id, name, coalesce(email, ''), coalesce(external_reference, ''), coalesce(metadata ->> 'room', '')
      FROM customers WHERE company_id = $1`,
  },
  invoices: {
    should: ({ invoices }) =>
      [...invoices].map(([id, invoice]) => {
        const reminders = [...invoice.reminders].toSorted((one, other) => one - other);
        const taxes = invoice.writeOffs.map(({ tax }) => tax);
        return [id, statusOf(invoice), invoice.number ?? '', dueOn(invoice), reminders, taxes];
      }),
    sql: `SELECT id, status, coalesce(number::text, ''), due_minor, array_to_string(ARRAY(
        SELECT r.step FROM invoice_reminders r WHERE r.company_id = i.company_id AND r.invoice_id = i.id ORDER BY 1), ','), array_to_string(ARRAY(
        SELECT w.tax_minor FROM write_offs w
        WHERE w.company_id = i.company_id AND w.invoice_id = i.id AND w.recovered_on IS NULL ORDER BY w.position), ',')
      FROM invoices i WHERE company_id = $1`,
  },
  payments: {
    should: ({ payments }) => [...payments].map(([id, { amount, refunded }]) => [id, amount, refunded]),
    sql: 'SELECT id, amount_minor, refunded_minor FROM payments WHERE company_id = $1',
  },
  bankTransactions: {
    should: ({ bankTransactions }) =>
      [...bankTransactions].map(([id, { isReconciled }]) => [id, isReconciled ? 'reconciled' : 'unreconciled']),
    sql: 'SELECT id, status FROM bank_transactions WHERE company_id = $1',
  },
  payRuns: {
    should: ({ payRuns }) =>
      [...payRuns].map(([id, run]) => [id, run.status, run.approvalRequired, run.gross, run.net, run.employerTax]),
    sql: `SELECT id, status, approval_required::text, gross_minor, net_minor, employer_tax_minor
      FROM pay_runs WHERE company_id = $1`,
  },
  employees: {
    should: ({ employees }) =>
      [...employees].map(([id, { email, leftOn, terms }]) => [id, email, leftOn ?? '', terms.length - 1]),
    sql: `SELECT id, lower(email), coalesce(left_on::text, ''), (
        SELECT count(*) FROM employee_terms t WHERE t.company_id = e.company_id AND t.employee_id = e.id)
      FROM employees e WHERE company_id = $1`,
  },
  items: {
    should: ({ items }) => [...items].map(([id, { sku, name, quantity, value }]) => [id, sku, name, quantity, value]),
    sql: 'SELECT id, sku, name, quantity, value_minor FROM inventory_items WHERE company_id = $1',
  },
  triggers: count(({ triggers }) => triggers, 'workflow_triggers'),
  settings: {
    should: ({ settings: { closedThrough, reconcileTolerance, ...settings } }) => [
      [
        ...[settings.version, settings.baseCurrency, closedThrough ?? '', settings.fiscalYearEnd],
        ...[settings.employerRate, settings.approval],
        ...[settings.latestPostingDays, settings.taxRounding, reconcileTolerance ?? ''],
      ],
    ],
    sql: `SELECT version, base_currency, coalesce(books_closed_through::text, ''), fiscal_year_end, employer_tax_rate_basis_points,
      pay_run_approval_required::text, latest_posting_days, tax_rounding, coalesce(reconcile_tolerance_minor::text, '')
      FROM companies WHERE id = $1`,
  },
  closings: {
    should: ({ closings }) =>
      closings.map(({ year, endsOn, closedThroughBefore }) => [year, endsOn, closedThroughBefore ?? '']),
    sql: `SELECT year, ends_on::text, coalesce(closed_through_before::text, '') FROM fiscal_year_closings
      WHERE company_id = $1 AND reopened_by IS NULL`,
  },
  policies: {
    should: ({ policies: { version, all } }) => (version === 1 ? [] : [[version, all.length]]),
    sql: `SELECT version, jsonb_array_length(policies) FROM approval_policies
      WHERE company_id = $1 ORDER BY version DESC LIMIT 1`,
  },
  waiting: {
    should: () => [[0]],
    sql: 'SELECT count(*) FROM approval_requests WHERE company_id = $1 AND closed_at IS NULL',
  },
  members: {
    should: ({ members, userIds }) => [...members].map(([actor, roles]) => [userIds[actor], roles.toSorted()]),
    sql: `SELECT user_id, array_to_string(ARRAY(SELECT unnest(roles) ORDER BY 1), ',') FROM memberships
      WHERE company_id = $1 AND user_id = ANY ($2)`,
  },
};

/** What the books should be, in the form in which `readBooks` reads them from the database. */
export function shouldBe(books: Books): Readonly<Record<string, readonly string[]>> {
  const rows = Object.entries(COMPARISONS).map(([name, { should }]) => [name, should(books).map(String).toSorted()]);
  return Object.fromEntries(rows);
}

export async function readBooks(owner: pg.Pool, { companyId, userIds }: Books) {
  const read: Record<string, readonly string[]> = {};
  for (const [name, { sql }] of Object.entries(COMPARISONS)) {
    const values = [companyId, ...(sql.includes('$2') ? [Object.values(userIds)] : [])];
    const { rows } = await owner.query<unknown[]>({ text: sql, values, rowMode: 'array' });
    read[name] = rows.map(String).toSorted();
  }
  return read;
}
