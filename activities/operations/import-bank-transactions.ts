import { z } from 'zod';
import { accountCode, currency, date, description, reference, signedAmount } from '../fields.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';
import { defineOperation } from '../operation.ts';
import { bankImportResource } from '../resources/bank-transaction.ts';

export const importBankTransactions = defineOperation({
  name: 'importBankTransactions',
  type: 'financial',
  summary: 'Import the transactions of a bank account',
  description:
    'Imports up to 1,000 transactions of one bank account (`accountCode`, 1000 by default), money in positive and money out ' +
    'negative. A bank reference is unique per account: a known reference with the same content is answered `already_known`, ' +
    'and with other content it rejects the whole import. Nothing is posted; reconciling matches the transactions with the books.',
  method: 'POST',
  path: '/api/bank-transactions/import',
  params: z.strictObject({}),
  body: z.strictObject({
    accountCode: accountCode().default(ACCOUNTS.bank),
    transactions: z
      .array(
        z.strictObject({
          bankReference: reference(),
          date: date(),
          amount: signedAmount(),
          currency: currency(),
          description: description(),
        }),
      )
      .min(1)
      .max(1_000),
  }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 200,
  resource: bankImportResource,
  event: 'bank_transactions.imported',
  effects: { posts: 'never' },
  rejections: {
    account_not_usable: {
      status: 422,
      title: 'The account is not a bank account of this company',
      nextAction: 'fix_request',
    },
    bank_reference_conflict: {
      status: 409,
      title: 'The reference was imported with other content',
      nextAction: 'fix_request',
    },
  },
  constraints: {},
  examples: [
    {
      name: 'statement',
      summary: 'Two transactions of the default bank account',
      params: {},
      body: {
        transactions: [
          {
            bankReference: 'STMT-2026-03-0017',
            date: '2026-03-17',
            amount: 2500,
            currency: 'USD',
            description: 'Transfer from Acme Wholesale',
          },
          {
            bankReference: 'STMT-2026-03-0018',
            date: '2026-03-18',
            amount: -1900,
            currency: 'USD',
            description: 'Card payment, office supplies',
          },
        ],
      },
    },
  ],
  summarize: ({ body }) => `importBankTransactions, ${body.transactions.length} of account ${body.accountCode}`,

  async write(tx, { body }, context) {
    const rows = body.transactions.map((transaction, position) => ({
      ...transaction,
      id: context.rowId('bank_transactions', position),
    }));
    const items = await tx.query<ImportedRow>(
      'SELECT * FROM import_bank_transactions(p_company => $1, p_write => $2, p_account_code => $3, p_rows => $4)',
      [context.companyId, context.writeId, body.accountCode, JSON.stringify(rows)],
    );
    if (items.length === 0) {
      throw context.reject('account_not_usable', `${body.accountCode} is not a bank account.`, '/accountCode');
    }
    const conflict = items.findIndex(({ result }) => result === 'conflict');
    if (conflict !== -1) {
      throw context.reject(
        'bank_reference_conflict',
        `${items[conflict]?.bank_reference} was imported with another date, amount, currency or description.`,
        `/transactions/${conflict}/bankReference`,
      );
    }
    return {
      resourceId: context.writeId,
      location: `/api/bank-transactions?import=${context.writeId}`,
      body: { items: items.map(({ bank_reference: bankReference, id, result }) => ({ bankReference, id, result })) },
    };
  },
});

type ImportedRow = { id: string; bank_reference: string; result: 'imported' | 'already_known' | 'conflict' };
