import type pg from 'pg';
import { v5 as uuidv5 } from 'uuid';
import { ACCOUNTS } from '../../../../activities/ledger/accounts.ts';
import { copyStatement, type Replacement, writeIdSql } from './copies.ts';
import { type Original, readOriginal, textOf } from './originals.ts';

/** How much a database is filled with: payments, whose keys are counted, spread evenly over companies. */
export type Size = { readonly companies: number; readonly keys: number };

/** Each company has one customer with ten invoices, which are paid one after another, in instalments. */
export const INVOICES_A_COMPANY = 10;

/** The key of a company's payment, counted from 0. A UUID, as most clients send. */
export function paymentKey(companyId: string, ordinal: number): string {
  return uuidv5(`payment:${ordinal}`, companyId);
}

/** The payments of the nth company, counted from 0. */
export function paymentsOf(n: number, { companies, keys }: Size): number {
  return Math.floor((keys - 1 - n) / companies) + 1;
}

/** The instalments of an invoice. */
export function paymentsAnInvoice({ companies, keys }: Size): number {
  return Math.ceil(keys / companies / INVOICES_A_COMPANY);
}

/** The writes that are copied; they are of one company. */
export type OriginalBooks = {
  readonly customer: Original;
  readonly invoice: Original;
  readonly finalization: Original;
  readonly payment: Original;
  /** What each copy replaces. */
  readonly ofCompany: readonly Replacement[];
};

export async function readOriginalBooks(owner: pg.ClientBase, companyId: string): Promise<OriginalBooks> {
  const payment = await readOriginal(owner, companyId, 'createPayment');
  const { rows: accounts } = await owner.query<{ id: string; code: string }>(
    'SELECT id, code FROM accounts WHERE company_id = $1 AND code = ANY ($2)',
    [companyId, ACCOUNT_CODES],
  );
  return {
    customer: await readOriginal(owner, companyId, 'createCustomer'),
    invoice: await readOriginal(owner, companyId, 'createInvoice'),
    finalization: await readOriginal(owner, companyId, 'finalizeInvoice'),
    payment,
    ofCompany: [
      [companyId, 'k.company_id'],
      [valueIn(payment, 'idempotent_writes', 'user_id'), 'k.user_id'],
      ...accounts.map(({ id, code }): Replacement => [id, `k.account_${code}`]),
    ],
  };
}

const ACCOUNT_CODES = [ACCOUNTS.bank, ACCOUNTS.receivable, ACCOUNTS.sales];

/**
 * Makes the companies as an operator does, and the list of them that the other statements read. Its tables have a schema
 * of their own and are not in the log.
 */
export function companiesStatement(size: Size): string {
  const accounts = ACCOUNT_CODES.map(
    (code) => `max(a.id::text) FILTER (WHERE a.code = '${code}')::uuid AS account_${code}`,
  );
  return `
    DROP SCHEMA IF EXISTS growth CASCADE;
    CREATE SCHEMA growth;
    CREATE UNLOGGED TABLE growth.made AS
      SELECT n, made.company_id, made.user_id FROM generate_series(0, ${size.companies - 1}) AS n
      CROSS JOIN LATERAL create_company('Growth ' || n, gen_random_uuid() || '@growth.test', 'USD') AS made;
    CREATE UNLOGGED TABLE growth.companies AS
      SELECT c.*, ${writeIdSql('createCustomer', 'company_id', 'customer_key')} AS customer_id
      FROM (
        SELECT m.n, m.company_id, m.user_id, uuid_generate_v5(m.company_id, 'customer') AS customer_key,
          ${accounts.join(', ')}
        FROM growth.made m JOIN accounts a ON a.company_id = m.company_id GROUP BY m.n, m.company_id, m.user_id
      ) AS c;
    INSERT INTO number_counters (company_id, kind, last_number)
      SELECT company_id, 'invoice', ${INVOICES_A_COMPANY} FROM growth.companies
      UNION ALL SELECT company_id, 'payment', ${paymentsOfCompany(size)} FROM growth.companies;
    INSERT INTO settings_versions (company_id, version, settings)
      SELECT c.id, c.version, to_jsonb(c) - ARRAY['id', 'version', 'created_at'] FROM companies c
      WHERE c.id IN (SELECT company_id FROM growth.companies);
    ANALYZE growth.companies`;
}

/** `paymentsOf` in SQL. */
function paymentsOfCompany({ companies, keys }: Size): string {
  return `(${keys - 1} - n) / ${companies} + 1`;
}

/** Lists the invoices, of which each is paid as much as its payments will be. */
export function invoicesStatement({ payment }: OriginalBooks, size: Size): string {
  const amountMinor = valueIn(payment, 'payments', 'amount_minor');
  const most = paymentsAnInvoice(size);
  const ofCompany = paymentsOfCompany(size);
  return `
    CREATE UNLOGGED TABLE growth.invoices AS
      SELECT i.*, ${writeIdSql('createInvoice', 'company_id', 'key0')} AS invoice_id,
        least(greatest(${ofCompany} - place * ${most}, 0), ${most}) * ${amountMinor} AS paid_minor
      FROM (
        SELECT c.*, place, uuid_generate_v5(company_id, 'invoice:' || place) AS key0,
          uuid_generate_v5(company_id, 'finalization:' || place) AS key1
        FROM growth.companies c CROSS JOIN generate_series(0, ${INVOICES_A_COMPANY - 1}) AS place
      ) AS i;
    ANALYZE growth.invoices`;
}

export function copyCustomers({ customer, ofCompany }: OriginalBooks, at: Date): string {
  return copyStatement({
    source: `SELECT c.*, customer_key AS key0, ${literal(at)} AS at FROM growth.companies c ORDER BY n`,
    originals: [customer],
    replacements: ofCompany,
  });
}

export function copyInvoices({ customer, invoice, finalization, ofCompany }: OriginalBooks, at: Date): string {
  const { number } = JSON.parse(valueIn(finalization, 'idempotent_writes', 'response_body'));
  return copyStatement({
    source: `SELECT i.*, place + 1 AS number, ${literal(at)} + place * interval '1 second' AS at
      FROM growth.invoices i ORDER BY place, n`,
    originals: [invoice, finalization],
    replacements: [...ofCompany, [customer.writeId, 'k.customer_id'], [number, `document_number('invoice', k.number)`]],
    columns: { 'invoices.number': 'k.number', 'invoices.paid_minor': 'k.paid_minor' },
  });
}

/** Payments `from` up to, and not including, `to`, in the order of their time: each company pays in its turn. */
export function copyPayments(
  { invoice, payment, ofCompany }: OriginalBooks,
  size: Size,
  span: { readonly from: number; readonly to: number; readonly since: Date; readonly stepMs: number },
): string {
  const ordinal = `p.n / ${size.companies}`;
  const { number } = JSON.parse(valueIn(payment, 'idempotent_writes', 'response_body'));
  return copyStatement({
    source: `
      SELECT c.*, i.invoice_id, ${ordinal} + 1 AS number,
        uuid_generate_v5(c.company_id, 'payment:' || ${ordinal}) AS key0,
        date_trunc('milliseconds', ${literal(span.since)} + p.n * interval '${span.stepMs} milliseconds') AS at
      FROM generate_series(${span.from}, ${span.to - 1}) AS p (n)
      JOIN growth.companies c ON c.n = p.n % ${size.companies}
      JOIN growth.invoices i ON i.n = c.n AND i.place = ${ordinal} / ${paymentsAnInvoice(size)}
      ORDER BY p.n`,
    originals: [payment],
    replacements: [...ofCompany, [invoice.writeId, 'k.invoice_id'], [number, `document_number('payment', k.number)`]],
    columns: { 'payments.number': 'k.number' },
  });
}

export function tablesOf({ customer, invoice, finalization, payment }: OriginalBooks): string[] {
  const rows = [customer, invoice, finalization, payment].flatMap((original) => original.rows);
  return [...new Set(rows.map(({ table }) => table))];
}

function valueIn({ rows }: Original, table: string, column: string): string {
  const row = rows.find((one) => one.table === table);
  if (row === undefined) throw new Error(`Bug! The original has no row in ${table}`);
  return textOf(row, column);
}

function literal(at: Date): string {
  return `timestamptz '${at.toISOString()}'`;
}
