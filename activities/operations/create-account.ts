import { z } from 'zod';
import { accountCode, name } from '../fields.ts';
import { defineOperation } from '../operation.ts';
import { ACCOUNT_COLUMNS, type AccountRow, accountResource, toAccount } from '../resources/account.ts';

const body = z
  .strictObject({
    // URL parsers remove these two as path segments.
    code: accountCode().refine((code) => code !== '.' && code !== '..', 'must not be only dots'),
    name: name(),
    type: z.enum(['asset', 'liability', 'equity', 'income', 'expense']),
    isBank: z.boolean().default(false),
  })
  .refine(({ isBank, type }) => !isBank || type === 'asset', {
    path: ['isBank'],
    message: 'must be false unless type is asset',
  });

export const createAccount = defineOperation({
  name: 'createAccount',
  type: 'financial',
  summary: 'Add an account to the chart',
  description:
    'The code is unique in the company. A bank account (`isBank`) is an asset account that can receive payments.',
  method: 'POST',
  path: '/api/ledger/accounts',
  params: z.strictObject({}),
  body,
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 201,
  resource: accountResource,
  event: 'account.created',
  effects: { posts: 'never', makes: 'accounts' },
  rejections: {
    account_code_taken: { status: 409, title: 'There is an account with that code', nextAction: 'fix_request' },
  },
  constraints: {},
  examples: [
    { name: 'expense', summary: 'Rent', params: {}, body: { code: '6100', name: 'Rent', type: 'expense' } },
    {
      name: 'bank',
      summary: 'A second bank account',
      params: {},
      body: { code: '1010', name: 'Savings', type: 'asset', isBank: true },
    },
  ],
  summarize: ({ body: account }) => `createAccount ${account.code}, ${account.type}`,

  async write(tx, { body: account }, context) {
    const [row] = await tx.query<AccountRow>(
      `INSERT INTO accounts (company_id, id, code, name, type, is_bank) VALUES ($1, $2, $3, $4, $5, $6)
       ON CONFLICT (company_id, code) DO NOTHING
       RETURNING ${ACCOUNT_COLUMNS}`,
      [context.companyId, context.writeId, account.code, account.name, account.type, account.isBank],
    );
    if (row === undefined) {
      throw context.reject('account_code_taken', `There is an account ${account.code} already.`, '/code');
    }
    return { resourceId: row.code, body: toAccount(row) };
  },
});
