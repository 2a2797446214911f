import { z } from 'zod';
import { id } from '../../activities/fields.ts';
import {
  BANK_TRANSACTION_COLUMNS,
  BANK_TRANSACTION_TABLES,
  type BankTransactionRow,
  findBankTransaction,
  toBankTransaction,
} from '../../activities/resources/bank-transaction.ts';
import { notFound } from '../http/problems.ts';
import { type List, readPage } from './page.ts';
import { pageQuery } from './query.ts';
import { defineRead } from './read.ts';

/** By date and, within a day, in the order of import; newest first. */
const BANK_TRANSACTIONS: List = {
  columns: BANK_TRANSACTION_COLUMNS,
  from: BANK_TRANSACTION_TABLES,
  where: 't.company_id = current_company()',
  order: [
    { sql: 't.booked_on', type: 'date' },
    { sql: 't.created_at', type: 'timestamptz' },
    { sql: 't.id', type: 'uuid' },
  ],
};

export const listBankTransactions = defineRead({
  path: '/api/bank-transactions',
  summary: 'List bank transactions, by date',
  group: 'ledger',
  answers: { kind: 'list', resource: 'bank_transaction' },
  params: z.strictObject({}),
  query: z.strictObject({
    ...pageQuery,
    import: id().optional().describe('The write that imported them.'),
    status: z.enum(['unreconciled', 'reconciled']).optional(),
  }),
  async read(tx, { query: { limit, cursor, ...filters } }, { companyId, cursors }) {
    const { rows, nextCursor } = await readPage<BankTransactionRow>(
      tx,
      BANK_TRANSACTIONS,
      [
        ['t.import_id = ?', filters.import],
        ['t.status = ?', filters.status],
      ],
      { path: this.path, companyId, cursors, filters, limit, cursor },
    );
    return { items: rows.map(toBankTransaction), nextCursor };
  },
});

export const readBankTransaction = defineRead({
  path: '/api/bank-transactions/:bankTransactionId',
  summary: 'Read a bank transaction with the journal lines that it is reconciled with',
  group: 'ledger',
  answers: { kind: 'one', resource: 'bank_transaction' },
  params: z.strictObject({ bankTransactionId: id() }),
  query: z.strictObject({}),
  async read(tx, { params: { bankTransactionId } }) {
    const row = await findBankTransaction(tx, bankTransactionId);
    if (row === undefined) throw notFound('bank_transaction', `There is no bank transaction ${bankTransactionId}.`);
    return toBankTransaction(row);
  },
});
