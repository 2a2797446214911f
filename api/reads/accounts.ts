import { z } from 'zod';
import type { Tx } from '../../activities/database.ts';
import { accountCode } from '../../activities/fields.ts';
import { toWireSum } from '../../activities/money.ts';
import { ACCOUNT_COLUMNS, type AccountRow, toAccount } from '../../activities/resources/account.ts';
import { type Posted, readPosted, toAttribution } from '../../activities/resources/journal-entry.ts';
import { notFound } from '../http/problems.ts';
import { type List, readPage } from './page.ts';
import { withoutPayroll } from './payroll-entries.ts';
import { planJoins } from './plan-joins.ts';
import { dateRange, pageQuery } from './query.ts';
import { defineRead } from './read.ts';

const ACCOUNTS: List = {
  columns: ACCOUNT_COLUMNS,
  from: 'FROM accounts',
  where: 'company_id = current_company()',
  // All accounts of a new company have the same `created_at`, and people look for them by code.
  order: [
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'code COLLATE "C"', type: 'text', ascending: true },
  ],
};

export const listAccounts = defineRead({
  path: '/api/ledger/accounts',
  summary: 'List the chart of accounts',
  group: 'ledger',
  answers: { kind: 'list', resource: 'account' },
  params: z.strictObject({}),
  query: z.strictObject(pageQuery),
  async read(tx, { query: { limit, cursor } }, { companyId, cursors }) {
    const page = { path: this.path, companyId, cursors, filters: {}, limit, cursor };
    const { rows, nextCursor } = await readPage<AccountRow>(tx, ACCOUNTS, [], page);
    return { items: rows.map(toAccount), nextCursor };
  },
});

export const readAccount = defineRead({
  path: '/api/ledger/accounts/:code',
  summary: 'Read an account',
  group: 'ledger',
  answers: { kind: 'one', resource: 'account' },
  params: z.strictObject({ code: accountCode() }),
  query: z.strictObject({}),
  async read(tx, { params }) {
    return toAccount(await findAccount(tx, params.code));
  },
});

async function findAccount(tx: Tx, code: string): Promise<AccountRow> {
  const [row] = await tx.query<AccountRow>(
    `SELECT ${ACCOUNT_COLUMNS} FROM accounts WHERE company_id = current_company() AND code = $1`,
    [code],
  );
  if (row === undefined) throw notFound('account', `There is no account ${code}.`);
  return row;
}

/**
 * The statement of an account, by date and, within a day, in the order of posting; newest first. The balance counts all
 * lines, whatever the filters leave out. It is partitioned by account first, the first filter of the page, so that
 * PostgreSQL reads the lines of that one account only.
 */
const LINES: List = {
  columns: `id, entry_id, entry_date, description, operation, write_id, amount_minor, currency, memo, balance_minor,
    created_at`,
  from: `FROM (
       SELECT l.id, l.account_id, l.entry_id, l.line_number, l.amount_minor, l.currency, l.memo, e.entry_date,
         e.created_at, e.description, e.operation, e.write_id,
         sum(l.amount_minor) OVER (
           PARTITION BY l.account_id, l.currency ORDER BY e.entry_date, e.created_at, e.id, l.line_number
         ) AS balance_minor
       FROM journal_lines l JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
       WHERE l.company_id = current_company()
     ) AS line`,
  where: 'true',
  order: [
    { sql: 'entry_date', type: 'date' },
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'entry_id', type: 'uuid' },
    { sql: 'line_number', type: 'integer' },
  ],
};

export const listAccountLines = defineRead({
  path: '/api/ledger/accounts/:code/lines',
  summary: 'List the lines of an account, each with its running balance in its currency',
  group: 'ledger',
  answers: { kind: 'list', resource: 'account' },
  shows: 'entries',
  params: z.strictObject({ code: accountCode() }),
  query: z.strictObject({ ...pageQuery, ...dateRange }),
  async read(tx, { params: { code }, query: { limit, cursor, ...filters } }, { companyId, cursors, roles }) {
    const account = await findAccount(tx, code);
    await planJoins(tx, ['journal_lines', 'journal_entries']);
    const { rows, nextCursor } = await readPage<LineRow>(
      tx,
      LINES,
      [
        ['account_id = ?', account.id],
        ['entry_date >= ?', filters.from],
        ['entry_date <= ?', filters.to],
        withoutPayroll(roles),
      ],
      { path: this.path, companyId, cursors, filters: { code, ...filters }, limit, cursor },
    );
    const postedBy = await readPosted(tx, rows);
    return { items: rows.map((row) => toLine({ ...row, posted: postedBy(row.write_id) })), nextCursor };
  },
});

type LineRow = {
  id: string;
  entry_id: string;
  entry_date: string;
  description: string;
  operation: string;
  write_id: string;
  amount_minor: bigint;
  currency: string;
  memo: string | null;
  /** `numeric`, as text: a sum has no limit. */
  balance_minor: string;
  created_at: string;
};

function toLine(row: LineRow & { readonly posted: Posted }) {
  return {
    id: row.id,
    entryId: row.entry_id,
    date: row.entry_date,
    description: row.description,
    source: { operation: row.operation, writeId: row.write_id },
    amount: toWireSum(row.amount_minor),
    currency: row.currency,
    memo: row.memo,
    balance: toWireSum(BigInt(row.balance_minor)),
    ...toAttribution(row),
  };
}
