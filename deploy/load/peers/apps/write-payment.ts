import type pg from 'pg';
import type { Command, Written } from './payment.ts';

/** A statement that each connection prepares once. */
export type Query = <Row>(name: string, text: string, values: unknown[]) => Promise<readonly Row[]>;

/** The least work for a durable payment with a key: one statement, which is its own transaction. */
export async function payInOneStatement(query: Query, command: Command): Promise<Written> {
  const { companyId, key, fingerprint, paymentId, answer, request } = command;
  const [made] = await query<{ made: number }>('pay', ONE_STATEMENT, [
    ...[companyId, key, fingerprint, paymentId, answer],
    ...[request.invoiceId, request.amount, request.currency, request.method, request.receivedOn],
  ]);
  return made?.made === 1 ? { paymentId, answer } : readKey(query, command);
}

/** What most teams write by hand: BEGIN, one statement per table, COMMIT. */
export async function payInFourStatements(pool: pg.Pool, command: Command): Promise<Written> {
  const { companyId, key, fingerprint, paymentId, answer, request } = command;
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const { rowCount } = await client.query(INSERT_KEY, [companyId, key, fingerprint, paymentId, answer]);
    if (rowCount === 1) {
      const { invoiceId, amount, currency, method, receivedOn } = request;
      const payment = [paymentId, companyId, key, invoiceId, amount, currency, method, receivedOn];
      await client.query(INSERT_PAYMENT, payment);
      await client.query(INSERT_LINES, [paymentId, amount]);
      await client.query(INSERT_AUDIT, [companyId, paymentId, answer]);
    }
    const written = rowCount === 1 ? { paymentId, answer } : await readKey(queryOf(client), command);
    await client.query('COMMIT');
    client.release();
    return written;
  } catch (error) {
    client.release(true); // The server rolls back when the connection closes.
    throw error;
  }
}

export function queryOf(connection: pg.Pool | pg.PoolClient): Query {
  return async <Row>(name: string, text: string, values: unknown[]) =>
    (await connection.query({ name, text, values })).rows as Row[];
}

async function readKey(query: Query, { companyId, key, fingerprint }: Command): Promise<Written> {
  const [found] = await query<{ fingerprint: string; payment_id: string; answer: string }>('key', SELECT_KEY, [
    companyId,
    key,
  ]);
  if (found === undefined) throw new Error('Bug! The key is taken, but has no row');
  return found.fingerprint === fingerprint ? { paymentId: found.payment_id, answer: found.answer } : 'mismatch';
}

const SELECT_KEY = 'SELECT fingerprint, payment_id, answer FROM idempotency_keys WHERE company_id = $1 AND key = $2';

const INSERT_KEY = `
INSERT INTO idempotency_keys (company_id, key, fingerprint, payment_id, answer) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING`;

const INSERT_PAYMENT = `
INSERT INTO payments (id, company_id, key, invoice_id, amount_minor, currency, method, received_on)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`;

const INSERT_LINES = `
INSERT INTO journal_lines (payment_id, line_number, account_code, amount_minor)
VALUES ($1, 1, '1000', $2::bigint), ($1, 2, '1100', -$2::bigint)`;

const INSERT_AUDIT = 'INSERT INTO audit_log (company_id, payment_id, detail) VALUES ($1, $2, $3)';

const ONE_STATEMENT = `
WITH taken AS (
  INSERT INTO idempotency_keys (company_id, key, fingerprint, payment_id, answer)
  VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING company_id, payment_id
), payment AS (
  INSERT INTO payments (id, company_id, key, invoice_id, amount_minor, currency, method, received_on)
  SELECT payment_id, company_id, $2, $6::uuid, $7::bigint, $8, $9, $10::date FROM taken RETURNING id, amount_minor
), lines AS (
  INSERT INTO journal_lines (payment_id, line_number, account_code, amount_minor)
  SELECT p.id, l.number, l.code, l.sign * p.amount_minor
  FROM payment p CROSS JOIN (VALUES (1::smallint, '1000', 1), (2::smallint, '1100', -1)) AS l (number, code, sign)
), audit AS (
  INSERT INTO audit_log (company_id, payment_id, detail) SELECT company_id, payment_id, $5 FROM taken
)
SELECT count(*)::int AS made FROM taken`;
