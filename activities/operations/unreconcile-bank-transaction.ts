import { z } from 'zod';
import { DEMO } from '../demo.ts';
import { description, id } from '../fields.ts';
import { undoMatches } from '../ledger/bank-matches.ts';
import { defineOperation } from '../operation.ts';
import { bankTransactionResource, findBankTransaction, toBankTransaction } from '../resources/bank-transaction.ts';

export const unreconcileBankTransaction = defineOperation({
  name: 'unreconcileBankTransaction',
  type: 'financial',
  summary: 'Undo the reconciliation of a bank transaction',
  description:
    'Releases the matched journal lines; nothing is posted. If the reconciliation posted a difference, reverse that entry ' +
    'instead. The reason is recorded in the audit log.',
  method: 'POST',
  path: '/api/ledger/unreconcile/:bankTransactionId',
  params: z.strictObject({ bankTransactionId: id() }),
  body: z.strictObject({ reason: description() }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 200,
  resource: bankTransactionResource,
  event: 'bank_transaction.unreconciled',
  effects: { posts: 'never' },
  rejections: {
    bank_transaction_not_found: { status: 404, title: 'There is no such bank transaction' },
    bank_transaction_not_reconciled: { status: 409, title: 'The bank transaction is not reconciled' },
    difference_was_posted: { status: 409, title: 'A difference was posted with it: reverse that entry' },
  },
  constraints: {},
  examples: [
    {
      name: 'unreconcile',
      summary: 'It was matched with the wrong line',
      params: { bankTransactionId: DEMO.reconciledBankTransactionId },
      body: { reason: 'Matched with the wrong line' },
    },
  ],
  summarize: ({ params }) => `unreconcileBankTransaction ${params.bankTransactionId}`,

  async write(tx, { params: { bankTransactionId }, body: { reason } }, context) {
    const [transaction] = await tx.query<{ reconciled_by: string | null; difference_entry_id: string | null }>(
      `SELECT t.reconciled_by, e.id AS difference_entry_id
       FROM lock_bank_transaction($1, $2) AS t
       LEFT JOIN journal_entries e ON e.company_id = $1 AND e.write_id = t.reconciled_by`,
      [context.companyId, bankTransactionId],
    );
    const refuse = (code: Refusal, detail: string) => context.reject(code, detail, '/bankTransactionId', 'path');
    if (transaction === undefined) {
      throw refuse('bank_transaction_not_found', `There is no bank transaction ${bankTransactionId}.`);
    }
    if (transaction.reconciled_by === null)
      throw refuse('bank_transaction_not_reconciled', 'There is nothing to undo.');
    if (transaction.difference_entry_id !== null) {
      throw refuse('difference_was_posted', `Reverse journal entry ${transaction.difference_entry_id} instead.`);
    }
    await undoMatches(tx, bankTransactionId, context);
    const row = await findBankTransaction(tx, bankTransactionId);
    if (row === undefined) throw new Error('Bug! The locked bank transaction does not exist');
    return {
      resourceId: row.id,
      body: toBankTransaction(row),
      auditMetadata: { reason, reconciledBy: transaction.reconciled_by },
    };
  },
});

type Refusal = 'bank_transaction_not_found' | 'bank_transaction_not_reconciled' | 'difference_was_posted';
