import pg from 'pg';
import { inject } from 'vitest';

/**
 * Fills the books of a company with `documents` of each kind and everything that the write path leaves for them, by SQL: right
 * books, made in a second, which neither a trigger nor a foreign key has checked. Every tenth of them has a customer, an item
 * and a pay run of ten payslips.
 */
export async function fillBooks(database: string, companyId: string, documents: number): Promise<void> {
  const url = new URL(inject('superuserUrl'));
  url.pathname = database;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  try {
    await client.query(`SET session_replication_role = replica; SET app.filled = '${companyId}'; ${IDS}`);
    const values = [companyId, documents];
    for (const statement of STATEMENTS) {
      await client.query(
        `WITH n AS (SELECT n, n / 10 AS tenth, $1::uuid AS c, date '2024-01-01' + n % 600 AS day FROM generate_series(0, $2 - 1) AS n)
         ${statement}`,
        values,
      );
    }
  } finally {
    await client.end();
  }
}

/** Functions of this session: the ID of the n-th of a kind, and of an account. */
const IDS = `
  CREATE FUNCTION pg_temp.id(kind text, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT md5(current_setting('app.filled') || kind || n)::uuid $$;
  CREATE FUNCTION pg_temp.account(of text) RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT id FROM accounts WHERE company_id = current_setting('app.filled')::uuid AND code = of $$`;

/** What each document of a kind posts; a pay run, every tenth. */
const ENTRIES = `(VALUES
  ('finalizeInvoice', 'invoice', '1100', '4000', 3000, NULL, 1),
  ('createPayment', 'payment', '1000', '1100', 1000, NULL, 1),
  ('createRefund', 'refund', '1100', '1000', 100, NULL, 1),
  ('createCreditNote', 'note', '4000', '1100', 500, NULL, 1),
  ('reconcileLedger', 'transaction', '1000', '6900', 1, NULL, 1),
  ('adjustInventory', 'movement', '1200', '5100', 1000, NULL, 1),
  ('createJournalEntry', 'manual', '6900', '2000', 7, NULL, 1),
  ('reverseJournalEntry', 'mirror', '2000', '6900', 7, 'manual', 1),
  ('executePayroll', 'run', '6000', '2220', 10000, NULL, 10)
) AS e (operation, kind, debit, credit, amount, reverses, every)`;

/** With `$1`, the company, and `n`: the numbers of the documents, their tenths and days. */
const STATEMENTS = [
  `INSERT INTO idempotent_writes (company_id, idempotency_key, write_id, submission_id, operation, type, fingerprint,
     schema_version, request, outcome, status_code, response_body, location, resource_type, resource_id, user_id, request_id,
     requested_at, claimed_at, completed_at)
   SELECT c, kind || '-' || n, pg_temp.id('write ' || kind, n), gen_random_uuid(), operation, 'financial', repeat('a', 64), 1,
     '{"params": {}, "body": {"differenceAccountCode": "6900"}}', 'succeeded', 201, '{}', '/x', kind, pg_temp.id(kind, n),
     m.user_id, 'request', now(), now(), now()
   FROM n CROSS JOIN ${ENTRIES} JOIN memberships m ON m.company_id = c WHERE n % every = 0`,
  `INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description, reverses, created_at, created_xid)
   SELECT c, pg_temp.id('entry ' || kind, n), pg_temp.id('write ' || kind, n), operation, day, 'An entry',
     pg_temp.id('entry ' || reverses, n), now(), pg_current_xact_id() FROM n CROSS JOIN ${ENTRIES} WHERE n % every = 0`,
  `INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency)
   SELECT c, pg_temp.id('line ' || kind || side, n), pg_temp.id('entry ' || kind, n), side, pg_temp.account(code), minor, 'USD'
   FROM n CROSS JOIN ${ENTRIES}
   CROSS JOIN LATERAL (VALUES (1, debit, amount), (2, credit, -amount)) AS l (side, code, minor) WHERE n % every = 0`,
  `INSERT INTO customers (company_id, id, name, currency)
   SELECT c, pg_temp.id('customer', n / 10), 'A customer', 'USD' FROM n WHERE n % 10 = 0`,
  `INSERT INTO invoices (company_id, id, number, customer_id, currency, issue_date, due_date, subtotal_minor, tax_minor,
     total_minor, paid_minor, credited_minor, journal_entry_id)
   SELECT c, pg_temp.id('invoice', n), n + 1, pg_temp.id('customer', tenth), 'USD', day, day + 30, 3000, 0, 3000, 900, 500,
     pg_temp.id('entry invoice', n) FROM n`,
  `INSERT INTO invoice_lines (company_id, invoice_id, line_number, description, quantity, unit_price_minor,
     tax_rate_basis_points, account_id, net_minor, tax_minor, tax_rate_thousandths)
   SELECT c, pg_temp.id('invoice', n), 1, 'Work', 1, 3000, 0, pg_temp.account('4000'), 3000, 0, 0 FROM n`,
  `INSERT INTO payments (company_id, id, invoice_id, amount_minor, currency, method, received_on, bank_account_id,
     refunded_minor, journal_entry_id, number)
   SELECT c, pg_temp.id('payment', n), pg_temp.id('invoice', n), 1000, 'USD', 'cash', day, pg_temp.account('1000'), 100,
     pg_temp.id('entry payment', n), n + 1 FROM n`,
  `INSERT INTO refunds (company_id, id, payment_id, amount_minor, refunded_on, reason, journal_entry_id, number)
   SELECT c, pg_temp.id('refund', n), pg_temp.id('payment', n), 100, day, 'A reason', pg_temp.id('entry refund', n), n + 1 FROM n`,
  `INSERT INTO credit_notes (company_id, id, invoice_id, currency, credited_on, reason, net_minor, tax_minor, total_minor,
     journal_entry_id, number)
   SELECT c, pg_temp.id('note', n), pg_temp.id('invoice', n), 'USD', day, 'A reason', 500, 0, 500, pg_temp.id('entry note', n),
     n + 1 FROM n`,
  `INSERT INTO credit_note_lines (company_id, credit_note_id, invoice_id, line_number, net_minor, tax_minor)
   SELECT c, pg_temp.id('note', n), pg_temp.id('invoice', n), 1, 500, 0 FROM n`,
  `INSERT INTO number_counters (company_id, kind, last_number)
   SELECT $1::uuid, kind, $2::int FROM unnest(ARRAY['invoice', 'payment', 'credit_note', 'refund']) AS kind`,
  `INSERT INTO invoice_reminders (company_id, id, invoice_id, step)
   SELECT c, pg_temp.id('reminder', n), pg_temp.id('invoice', n), 1 FROM n`,
  `INSERT INTO bank_transactions (company_id, id, import_id, account_id, bank_reference, booked_on, amount_minor, currency,
     description, reconciled_by)
   SELECT c, pg_temp.id('transaction', n), pg_temp.id('import', 0), pg_temp.account('1000'), n::text, day, 1001, 'USD', 'Text',
     pg_temp.id('write transaction', n) FROM n`,
  `INSERT INTO bank_matches (company_id, matched_by, journal_line_id, bank_transaction_id)
   SELECT c, pg_temp.id('write transaction', n), pg_temp.id('line ' || kind || 1, n), pg_temp.id('transaction', n)
   FROM n CROSS JOIN (VALUES ('payment'), ('transaction')) AS l (kind)`,
  `INSERT INTO reconciliations (company_id, id, bank_transaction_id, difference_minor)
   SELECT c, pg_temp.id('write transaction', n), pg_temp.id('transaction', n), 1 FROM n`,
  `INSERT INTO inventory_items (company_id, id, sku, name, currency, quantity, value_minor)
   SELECT c, pg_temp.id('item', tenth), tenth::text, 'An item', 'USD', count(*), count(*) * 1000 FROM n GROUP BY c, tenth`,
  `INSERT INTO inventory_movements (company_id, id, item_id, quantity_delta, value_delta_minor, currency, reason, moved_on,
     journal_entry_id)
   SELECT c, pg_temp.id('movement', n), pg_temp.id('item', tenth), 1, 1000, 'USD', 'A reason', day,
     pg_temp.id('entry movement', n) FROM n`,
  `INSERT INTO employees (company_id, id, first_name, last_name, email, annual_salary_minor, currency, pay_frequency,
     tax_rate_basis_points)
   SELECT c, pg_temp.id('employee', n), 'A', 'B', n || '@example.test', 12000, 'USD', 'monthly', 0 FROM n`,
  `INSERT INTO pay_runs (company_id, id, status, pay_frequency, year, period_number, pay_date, currency, employee_count,
     gross_minor, pre_tax_deductions_minor, tax_minor, post_tax_deductions_minor, net_minor, employer_tax_minor, created_by,
     executed_by, journal_entry_id, approval_required)
   SELECT c, pg_temp.id('run', n), 'executed', 'monthly', 2024, 1, day, 'USD', 10, 10000, 0, 0, 0, 10000, 0, m.user_id,
     m.user_id, pg_temp.id('entry run', n), false FROM n JOIN memberships m ON m.company_id = c WHERE n % 10 = 0`,
  `INSERT INTO payslips (company_id, pay_run_id, employee_id, pay_frequency, year, period_number, currency,
     annual_salary_minor, tax_rate_basis_points, employer_tax_rate_basis_points, gross_minor, pre_tax_deductions_minor,
     tax_minor, post_tax_deductions_minor, net_minor, employer_tax_minor)
   SELECT c, pg_temp.id('run', tenth * 10), pg_temp.id('employee', n), 'monthly', 2024, 1, 'USD', 12000, 0, 0, 1000, 0, 0, 0,
     1000, 0 FROM n`,
  `INSERT INTO paid_periods (company_id, employee_id, year, pay_frequency, period_number, pay_run_id)
   SELECT c, pg_temp.id('employee', n), 2024, 'monthly', 1, pg_temp.id('run', tenth * 10) FROM n`,
  `INSERT INTO outbox (id, company_id, write_id, kind, payload, sequence)
   SELECT pg_temp.id('event', n), c, pg_temp.id('write payment', n), 'payment.created', '{}',
     nextval('outbox_sequence') FROM n`,
  `INSERT INTO workflow_triggers (company_id, id, workflow_name, workflow_id, payload, user_id)
   SELECT c, pg_temp.id('trigger', n), 'closeMonth', gen_random_uuid(), '{}', m.user_id
   FROM n JOIN memberships m ON m.company_id = c`,
  `INSERT INTO workflow_results (company_id, trigger_id, result)
   SELECT c, pg_temp.id('trigger', n), '{"closed": true, "through": "2024-01-01"}' FROM n`,
];
