import { z } from 'zod';
import type { Tx } from '../database.ts';
import { toWireAmount } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { calendarDate, currencyCode, instant, resourceId, signedMoney } from './members.ts';

/** The API's form of a bank transaction and its columns. */
export const BANK_TRANSACTION_COLUMNS = `t.id, t.import_id,
  (SELECT a.code FROM accounts a WHERE a.company_id = t.company_id AND a.id = t.account_id) AS account_code, t.bank_reference, t.booked_on,
  t.amount_minor, t.currency, t.description, t.status, t.created_at,
  ARRAY(SELECT m.journal_line_id FROM bank_matches m
        WHERE m.company_id = t.company_id AND m.bank_transaction_id = t.id AND m.undone_by IS NULL
        ORDER BY m.journal_line_id)::text[] AS line_ids,
  (SELECT e.id FROM journal_entries e WHERE e.company_id = t.company_id AND e.write_id = t.reconciled_by)
    AS difference_entry_id,
  (SELECT r.reason FROM reconciliations r WHERE r.company_id = t.company_id AND r.id = t.reconciled_by)
    AS reconcile_reason`;
export const BANK_TRANSACTION_TABLES = 'FROM bank_transactions t';

export type BankTransactionRow = {
  id: string;
  import_id: string;
  account_code: string;
  bank_reference: string;
  booked_on: string;
  amount_minor: bigint;
  currency: string;
  description: string;
  status: 'unreconciled' | 'reconciled';
  created_at: string;
  line_ids: string[];
  difference_entry_id: string | null;
  reconcile_reason: string | null;
};

export function toBankTransaction(row: BankTransactionRow): z.output<typeof bankTransactionSchema> {
  return {
    id: row.id,
    importId: row.import_id,
    accountCode: row.account_code,
    bankReference: row.bank_reference,
    date: row.booked_on,
    amount: toWireAmount(row.amount_minor),
    currency: row.currency,
    description: row.description,
    status: row.status,
    journalLineIds: row.line_ids,
    differenceEntryId: row.difference_entry_id,
    reconcileReason: row.reconcile_reason,
    createdAt: row.created_at,
  };
}

/** Finds a bank transaction of the current company. */
export async function findBankTransaction(tx: Tx, id: string): Promise<BankTransactionRow | undefined> {
  const [row] = await tx.query<BankTransactionRow>(
    `SELECT ${BANK_TRANSACTION_COLUMNS} ${BANK_TRANSACTION_TABLES}
     WHERE t.company_id = current_company() AND t.id = $1`,
    [id],
  );
  return row;
}

export const bankTransactionSchema = z.object({
  id: resourceId(),
  importId: resourceId().meta({ description: 'The ID of the write that imported it' }),
  accountCode: z.string(),
  bankReference: z.string(),
  date: calendarDate(),
  amount: signedMoney(),
  currency: currencyCode(),
  description: z.string(),
  status: z.enum(['unreconciled', 'reconciled']),
  journalLineIds: z.array(resourceId()).meta({ description: 'The matched journal lines' }),
  differenceEntryId: resourceId()
    .nullable()
    .meta({ description: 'The entry of the difference that reconciling posted' }),
  reconcileReason: z.string().nullable().meta({ description: 'The reason that was given for reconciling it so' }),
  createdAt: instant(),
});

export const bankTransactionResource: ResourceType = {
  type: 'bankTransaction',
  reads: '/api/bank-transactions',
  schema: bankTransactionSchema,
};

/** The answer of an import: an item per transaction, in the order of the request. */
export const bankImportResource: ResourceType = {
  type: 'bankImport',
  reads: '/api/bank-transactions',
  schema: z.object({
    items: z.array(
      z.object({ bankReference: z.string(), id: resourceId(), result: z.enum(['imported', 'already_known']) }),
    ),
  }),
};
