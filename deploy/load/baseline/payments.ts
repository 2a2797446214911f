import type pg from 'pg';
import type { Tx } from '../../../activities/database.ts';
import { rowId } from '../../../activities/identity.ts';
import { ACCOUNTS } from '../../../activities/ledger/accounts.ts';
import type { WriteContext } from '../../../activities/operation.ts';
import { createPayment } from '../../../activities/operations/create-payment.ts';
import type { PaymentOrder } from './messages.ts';

const AMOUNT_MINOR = 1;
const CURRENCY = 'USD';
const RECEIVED_ON = '2026-02-01';

type Pay = (order: PaymentOrder) => Promise<string>;

/** Runs the operation's own SQL in a plain transaction. */
export function payByOperation(pool: pg.Pool, companyId: string): Pay {
  return ({ paymentId, invoiceId }) =>
    plainTransaction(pool, async (tx) => {
      const body = {
        invoiceId,
        amount: AMOUNT_MINOR,
        currency: CURRENCY,
        method: 'bank_transfer',
        receivedOn: RECEIVED_ON,
        bankAccountCode: ACCOUNTS.bank,
      };
      const context: WriteContext<string> = {
        companyId,
        userId: companyId,
        operation: 'createPayment',
        writeId: paymentId,
        requestId: 'of-the-baseline',
        approvedBy: null,
        allowPrivateWebhooks: false,
        operations: [],
        rowId: (table, position) => rowId(paymentId, table, position),
        reject: (code, detail) => new Error(`Bug! ${code}: ${detail}`),
      };
      return (await createPayment.write(tx, { params: {}, body }, context)).resourceId;
    });
}

/** Hand-written SQL for a payment, without any provision for retries. */
export function payBySql(pool: pg.Pool, companyId: string): Pay {
  return ({ paymentId, invoiceId }) =>
    plainTransaction(pool, async (tx) => {
      const [invoice] = await tx.query<{ payable: boolean }>(
        `SELECT due_minor >= $3 AND currency = $4 AND status IN ('finalized', 'partially_paid') AS payable
         FROM invoices WHERE company_id = $1 AND id = $2 FOR UPDATE`,
        [companyId, invoiceId, AMOUNT_MINOR, CURRENCY],
      );
      if (!invoice?.payable) throw new Error('Bug! The invoice cannot be paid');
      await tx.query(
        `INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description)
         VALUES ($1, $2, $2, 'createPayment', $3, 'Payment')`,
        [companyId, paymentId, RECEIVED_ON],
      );
      await tx.query(
        `INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency)
         SELECT $1, gen_random_uuid(), $2, l.number, a.id, l.amount, $4
         FROM (
           VALUES (1, '${ACCOUNTS.bank}', $3::bigint), (2, '${ACCOUNTS.receivable}', -$3::bigint)
         ) AS l (number, code, amount)
         JOIN accounts a ON a.company_id = $1 AND a.code = l.code`,
        [companyId, paymentId, AMOUNT_MINOR, CURRENCY],
      );
      await tx.query('UPDATE invoices SET paid_minor = paid_minor + $3 WHERE company_id = $1 AND id = $2', [
        companyId,
        invoiceId,
        AMOUNT_MINOR,
      ]);
      // Last, because every other payment of the company waits for the counter.
      await tx.query(
        `WITH counter AS (
           INSERT INTO number_counters AS c (company_id, kind, last_number) VALUES ($1, 'payment', 1)
           ON CONFLICT (company_id, kind) DO UPDATE SET last_number = c.last_number + 1
           RETURNING last_number
         )
         INSERT INTO payments (company_id, id, number, invoice_id, amount_minor, currency, method, received_on,
           bank_account_id, journal_entry_id)
         SELECT $1, $2, c.last_number, $3, $4, $5, 'bank_transfer', $6, a.id, $2
         FROM counter c JOIN accounts a ON a.company_id = $1 AND a.code = '${ACCOUNTS.bank}'`,
        [companyId, paymentId, invoiceId, AMOUNT_MINOR, CURRENCY, RECEIVED_ON],
      );
      return paymentId;
    });
}

async function plainTransaction<T>(pool: pg.Pool, work: (tx: Tx) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const result = await work({
      async query<Row>(text: string, values: readonly unknown[] = []) {
        return (await client.query({ name: nameOf(text), text, values: [...values] })).rows as Row[];
      },
    });
    await client.query('COMMIT');
    client.release();
    return result;
  } catch (error) {
    client.release(true);
    throw error;
  }
}

const names = new Map<string, string>();

/** Prepared once per connection, like the write path's statements. */
function nameOf(text: string): string {
  const name = names.get(text) ?? `b${names.size}`;
  names.set(text, name);
  return name;
}
