import { z } from 'zod';
import type { Tx } from '../../activities/database.ts';
import { accountCode, date } from '../../activities/fields.ts';
import { ACCOUNTS } from '../../activities/ledger/accounts.ts';
import { toWireAmount, toWireSum } from '../../activities/money.ts';
import { ApiProblem } from '../http/problems.ts';
import { dayOfReport } from './day-of-report.ts';
import { defineRead } from './read.ts';

/** So many lines, and so many bank transactions, of each currency are listed, the oldest; the sums count all. */
export const MAX_LISTED = 1_000;

/**
 * The statement that leads from the balance of the bank to that of the books at the end of a day, in each currency.
 *
 * Dates decide, not the moment of reconciling: a match counts as of a day if all that it matches is dated on or before it. So a
 * statement of January is the same whether it was reconciled in January or later, and a line of January that the bank booked in
 * February is outstanding at the end of January. Where a match counts, its lines sum to its transaction, or to zero where an
 * entry and its reversal are matched with each other: the two balances differ by what is not matched.
 */
export const readBankReconciliation = defineRead({
  path: '/api/reports/bank-reconciliation',
  summary: 'Bank reconciliation statement as of a day, per currency',
  group: 'ledger',
  answers: { kind: 'report', resource: 'bank_reconciliation' },
  params: z.strictObject({}),
  query: z.strictObject({
    accountCode: accountCode().default(ACCOUNTS.bank).describe(`The bank account; ${ACCOUNTS.bank} if omitted.`),
    asOf: date().optional().describe('The last day to include; today if omitted.'),
  }),
  async read(tx, { query }) {
    const accountId = await findBankAccount(tx, query.accountCode);
    const asOf = await dayOfReport(tx, query.asOf);
    const values = [accountId, asOf];
    const [books, bank] = [await tx.query<SideRow>(BOOKS, values), await tx.query<SideRow>(BANK, values)];
    const lines = await tx.query<LineRow>(OUTSTANDING, [...values, MAX_LISTED]);
    const transactions = await tx.query<TransactionRow>(IN_TRANSIT, [...values, MAX_LISTED]);
    const currencies = [...new Set([...books, ...bank].map(({ currency }) => currency))].sort();
    return {
      accountCode: query.accountCode,
      asOf,
      items: currencies.map((currency) => {
        const inBooks = books.find((row) => row.currency === currency) ?? NOTHING;
        const atBank = bank.find((row) => row.currency === currency) ?? NOTHING;
        const [balance, outstanding] = [BigInt(inBooks.balance_minor), BigInt(inBooks.open_minor)];
        const [bankBalance, inTransit] = [BigInt(atBank.balance_minor), BigInt(atBank.open_minor)];
        return {
          currency,
          bankBalance: toWireSum(bankBalance),
          outstanding: lines.filter((row) => row.currency === currency).map(toLine),
          outstandingCount: Number(inBooks.open),
          outstandingTotal: toWireSum(outstanding),
          inTransit: transactions.filter((row) => row.currency === currency).map(toTransaction),
          inTransitCount: Number(atBank.open),
          inTransitTotal: toWireSum(inTransit),
          booksBalance: toWireSum(balance),
          difference: toWireSum(balance - (bankBalance + outstanding - inTransit)),
        };
      }),
    };
  },
});

async function findBankAccount(tx: Tx, code: string): Promise<string> {
  const [account] = await tx.query<{ id: string }>(
    'SELECT id FROM accounts WHERE company_id = current_company() AND code = $1 AND is_bank',
    [code],
  );
  if (account !== undefined) return account.id;
  const message = 'must be the code of a bank account';
  throw new ApiProblem('validation_failed', {
    detail: `The query parameter accountCode ${message}.`,
    errors: [{ in: 'query', pointer: '/accountCode', message }],
  });
}

/** The matches of the account `$1` that count as of the day `$2`. */
const MATCHES = `
  matched AS MATERIALIZED (
    SELECT m.matched_by, m.bank_transaction_id FROM bank_matches m
    JOIN journal_lines l ON l.company_id = m.company_id AND l.id = m.journal_line_id AND l.account_id = $1
    JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
    LEFT JOIN bank_transactions t ON t.company_id = m.company_id AND t.id = m.bank_transaction_id
    WHERE m.company_id = current_company() AND m.undone_by IS NULL
    GROUP BY m.matched_by, m.bank_transaction_id
    HAVING max(e.entry_date) <= $2::date AND max(coalesce(t.booked_on, '-infinity')) <= $2::date
  )`;

/** The lines of the account up to the day; `is_open` if no match of them counts. */
const LINES = `
  WITH ${MATCHES},
  line AS (
    SELECT l.id, l.entry_id, l.line_number, l.amount_minor, l.currency, l.memo, e.entry_date, e.created_at, e.description,
      e.operation, e.write_id, k.journal_line_id IS NULL AS is_open
    FROM journal_lines l
    JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
    LEFT JOIN (
      SELECT m.journal_line_id FROM bank_matches m
      JOIN matched ON matched.matched_by = m.matched_by AND matched.bank_transaction_id IS NOT DISTINCT FROM m.bank_transaction_id
      WHERE m.company_id = current_company() AND m.undone_by IS NULL
    ) AS k ON k.journal_line_id = l.id
    WHERE l.company_id = current_company() AND l.account_id = $1 AND e.entry_date <= $2::date
  )`;

/** The bank transactions of the account up to the day; `is_open` if no match of them counts. */
const TRANSACTIONS = `
  WITH ${MATCHES},
  line AS (
    SELECT t.id, t.bank_reference, t.booked_on, t.amount_minor, t.currency, t.description, t.created_at,
      matched.bank_transaction_id IS NULL AS is_open
    FROM bank_transactions t LEFT JOIN matched ON matched.bank_transaction_id = t.id
    WHERE t.company_id = current_company() AND t.account_id = $1 AND t.booked_on <= $2::date
  )`;

const SIDE = `
  SELECT currency, sum(amount_minor) AS balance_minor, count(*) FILTER (WHERE is_open) AS open,
    coalesce(sum(amount_minor) FILTER (WHERE is_open), 0) AS open_minor
  FROM line GROUP BY currency`;
const BOOKS = LINES + SIDE;
const BANK = TRANSACTIONS + SIDE;

/** The first ones of each currency, in this order. */
function listed(order: string): string {
  return `
  SELECT * FROM (
    SELECT line.*, row_number() OVER (PARTITION BY currency ORDER BY ${order}) AS place FROM line WHERE is_open
  ) AS open WHERE place <= $3 ORDER BY currency, place`;
}
const OUTSTANDING = LINES + listed('entry_date, created_at, entry_id, line_number');
const IN_TRANSIT = TRANSACTIONS + listed('booked_on, created_at, id');

/** The sums are `numeric`, as text: they have no limit. */
type SideRow = { currency: string; balance_minor: string; open: bigint; open_minor: string };
const NOTHING: Omit<SideRow, 'currency'> = { balance_minor: '0', open: 0n, open_minor: '0' };

type LineRow = {
  id: string;
  entry_id: string;
  amount_minor: bigint;
  currency: string;
  memo: string | null;
  entry_date: string;
  description: string;
  operation: string;
  write_id: string;
};

function toLine(row: LineRow) {
  return {
    id: row.id,
    entryId: row.entry_id,
    date: row.entry_date,
    description: row.description,
    source: { operation: row.operation, writeId: row.write_id },
    amount: toWireSum(row.amount_minor),
    currency: row.currency,
    memo: row.memo,
  };
}

type TransactionRow = {
  id: string;
  bank_reference: string;
  booked_on: string;
  amount_minor: bigint;
  currency: string;
  description: string;
};

function toTransaction(row: TransactionRow) {
  return {
    id: row.id,
    bankReference: row.bank_reference,
    date: row.booked_on,
    amount: toWireAmount(row.amount_minor),
    currency: row.currency,
    description: row.description,
  };
}
