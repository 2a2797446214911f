import { z } from 'zod';
import { amountAt } from '../approvals/amounts.ts';
import { formatAmount } from '../currencies.ts';
import type { Tx } from '../database.ts';
import { DEMO } from '../demo.ts';
import { accountCode, description, id } from '../fields.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';
import { matchLines } from '../ledger/bank-matches.ts';
import { postEntry } from '../ledger/post-entry.ts';
import { MAX_AMOUNT_MINOR } from '../money.ts';
import { defineOperation, type RuleOfTheLedger, type WriteContext } from '../operation.ts';
import { bankTransactionResource, findBankTransaction, toBankTransaction } from '../resources/bank-transaction.ts';

const body = z
  .strictObject({
    matches: z.array(z.strictObject({ journalLineId: id() })).max(100),
    differenceAccountCode: accountCode().optional(),
    reason: description().optional(),
  })
  .refine(({ matches, differenceAccountCode }) => matches.length > 0 || differenceAccountCode !== undefined, {
    path: ['matches'],
    message: 'must name a line, unless differenceAccountCode is given for the whole amount',
  });

export const reconcileLedger = defineOperation({
  name: 'reconcileLedger',
  type: 'financial',
  summary: 'Reconcile a bank transaction with journal lines',
  description:
    'Matches the bank transaction with unreconciled journal lines of the same bank account and currency. If they do not sum to ' +
    'its amount, the difference is posted to `differenceAccountCode`, an income or expense account, dated the bank ' +
    'transaction’s date. Without lines, the difference is the whole amount. A difference of more than `reconcileTolerance`, a ' +
    'setting, needs a `reason`, which is kept with the reconciliation.',
  method: 'POST',
  path: '/api/ledger/reconcile/:bankTransactionId',
  params: z.strictObject({ bankTransactionId: id() }),
  body,
  schemaVersion: 2,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 200,
  resource: bankTransactionResource,
  event: 'bank_transaction.reconciled',
  effects: {
    posts: 'sometimes',
    entry: 'where the sums differ: Dr or Cr 1000, or the bank account, against `differenceAccountCode`, such as 6900',
    dated: 'the bank’s date',
  },
  rejections: {
    bank_transaction_not_found: { status: 404, title: 'There is no such bank transaction' },
    already_reconciled: { status: 409, title: 'The bank transaction is reconciled already' },
    period_closed: {
      status: 409,
      title: 'The books are closed for the date of the difference',
      about: { in: 'path', pointer: '/bankTransactionId' },
      toldByDatabase: true,
    },
    date_too_late: {
      status: 422,
      title: 'The date of the difference is more than latestPostingDays after today',
      about: { in: 'path', pointer: '/bankTransactionId' },
    },
    journal_line_not_matchable: {
      status: 422,
      title: 'The line is not an unreconciled line of that bank account and currency',
      nextAction: 'fix_request',
    },
    account_not_usable: {
      status: 422,
      title: 'The account is not an income or expense account',
      nextAction: 'fix_request',
    },
    amounts_do_not_match: {
      status: 422,
      title: 'The lines do not sum to the bank transaction’s amount',
      nextAction: 'fix_request',
    },
    reason_required: {
      status: 422,
      title: 'A difference beyond reconcileTolerance needs a reason',
      nextAction: 'fix_request',
      about: { in: 'body', pointer: '/reason' },
    },
  },
  constraints: {
    period_closed: 'period_closed',
    date_too_late: 'date_too_late',
    bank_matches_line_once: 'journal_line_not_matchable',
    reconciliations_reason_required: 'reason_required',
  },
  examples: [
    {
      name: 'match',
      summary: 'One journal line with the same amount',
      params: { bankTransactionId: DEMO.supplierBankTransactionId },
      body: { matches: [{ journalLineId: DEMO.supplierBankLineId }] },
    },
    {
      name: 'difference',
      summary: 'A bank charge that was not in the books yet',
      params: { bankTransactionId: DEMO.chargeBankTransactionId },
      body: { matches: [], differenceAccountCode: ACCOUNTS.bankCharges },
    },
  ],
  approvalAmount: amountAt('amount'),
  summarize: ({ params, body: { matches } }) =>
    `reconcileLedger of bank transaction ${params.bankTransactionId} with ${matches.length} lines`,

  async write(tx, { params: { bankTransactionId }, body: { matches, differenceAccountCode, reason } }, context) {
    const transaction = await lockTransaction(tx, bankTransactionId, differenceAccountCode, context);
    const lineIds = matches.map(({ journalLineId }) => journalLineId);
    const matchedMinor = await sumOfMatchable(tx, lineIds, transaction, context);
    const differenceMinor = transaction.amount_minor - matchedMinor;
    const posted: string[] = [];
    if (differenceMinor !== 0n) {
      if (differenceAccountCode === undefined || !isAmount(differenceMinor))
        throw mismatch(matchedMinor, transaction, context);
      if (reason === undefined) requireTolerated(differenceMinor, transaction, context);
      posted.push(await postDifference(tx, { transaction, differenceMinor, differenceAccountCode }, context));
    }
    await matchLines(tx, { bankTransactionId, lineIds: [...lineIds, ...posted], reason }, context);
    const row = await findBankTransaction(tx, bankTransactionId);
    if (row === undefined) throw new Error('Bug! The locked bank transaction does not exist');
    return { resourceId: row.id, body: toBankTransaction(row) };
  },
});

async function lockTransaction(
  tx: Tx,
  bankTransactionId: string,
  differenceAccountCode: string | undefined,
  context: WriteContext<'bank_transaction_not_found' | 'already_reconciled' | 'account_not_usable'>,
): Promise<LockedTransaction> {
  const [row] = await tx.query<LockedTransaction & { takes_difference: boolean }>(
    `SELECT t.id, t.status, t.account_id, bank.code AS account_code, t.booked_on, t.amount_minor, t.currency,
       EXISTS (SELECT FROM accounts a
         WHERE a.company_id = $1 AND a.code = $3 AND a.type IN ('income', 'expense')) AS takes_difference,
       (SELECT c.reconcile_tolerance_minor FROM companies c WHERE c.id = $1) AS tolerance_minor
     FROM lock_bank_transaction($1, $2) AS t JOIN accounts bank ON bank.company_id = $1 AND bank.id = t.account_id`,
    [context.companyId, bankTransactionId, differenceAccountCode ?? null],
  );
  if (row === undefined) {
    throw context.reject(
      'bank_transaction_not_found',
      `There is no bank transaction ${bankTransactionId}.`,
      '/bankTransactionId',
      'path',
    );
  }
  if (row.status === 'reconciled') {
    throw context.reject('already_reconciled', 'Unreconcile it first.', '/bankTransactionId', 'path');
  }
  if (differenceAccountCode !== undefined && !row.takes_difference) {
    const detail = `${differenceAccountCode} is not an income or expense account.`;
    throw context.reject('account_not_usable', detail, '/differenceAccountCode');
  }
  return row;
}

/** The sum of the lines. A line that is named twice is refused the second time, like one that is already matched. */
async function sumOfMatchable(
  tx: Tx,
  lineIds: readonly string[],
  transaction: LockedTransaction,
  context: WriteContext<'journal_line_not_matchable'>,
): Promise<bigint> {
  const rows = await tx.query<{ id: string; amount_minor: bigint }>(
    `SELECT l.id, l.amount_minor FROM journal_lines l
     WHERE l.company_id = $1 AND l.id = ANY ($2::uuid[]) AND l.account_id = $3 AND l.currency = $4
       AND NOT EXISTS (SELECT FROM bank_matches m
         WHERE m.company_id = $1 AND m.journal_line_id = l.id AND m.undone_by IS NULL)`,
    [context.companyId, lineIds, transaction.account_id, transaction.currency],
  );
  const matchable = new Map(rows.map((row) => [row.id, row.amount_minor]));
  let sumMinor = 0n;
  for (const [index, lineId] of lineIds.entries()) {
    const amountMinor = matchable.get(lineId);
    if (amountMinor === undefined) {
      const where = `account ${transaction.account_code} in ${transaction.currency}`;
      throw context.reject(
        'journal_line_not_matchable',
        `${lineId} is not an unreconciled line of ${where}.`,
        `/matches/${index}/journalLineId`,
      );
    }
    matchable.delete(lineId);
    sumMinor += amountMinor;
  }
  return sumMinor;
}

/** Posts the difference to the bank account; returns the ID of the bank account's new line. */
async function postDifference(
  tx: Tx,
  difference: { transaction: LockedTransaction; differenceMinor: bigint; differenceAccountCode: string },
  context: WriteContext<RuleOfTheLedger>,
): Promise<string> {
  const { transaction, differenceMinor, differenceAccountCode } = difference;
  const { account_code: bank, currency, booked_on: day } = transaction;
  await postEntry(
    tx,
    {
      date: day,
      description: `Difference of bank transaction ${transaction.id}`,
      lines: [
        { account: bank, amountMinor: differenceMinor, currency },
        { account: differenceAccountCode, amountMinor: -differenceMinor, currency },
      ],
    },
    context,
  );
  return context.rowId('journal_lines', 0);
}

/**
 * Names the figures. The settings may change until the entry holds the company's row, so the database asks again
 * (`measure_reconciliation`).
 */
function requireTolerated(
  differenceMinor: bigint,
  { tolerance_minor: toleranceMinor, currency }: LockedTransaction,
  context: WriteContext<'reason_required'>,
): void {
  const sizeMinor = differenceMinor < 0n ? -differenceMinor : differenceMinor;
  if (toleranceMinor === null || sizeMinor <= toleranceMinor) return;
  const [size, tolerance] = [formatAmount(sizeMinor, currency), formatAmount(toleranceMinor, currency)];
  throw context.reject(
    'reason_required',
    `The difference is ${size}; without a reason, at most ${tolerance} is accepted.`,
    '/reason',
  );
}

function isAmount(amountMinor: bigint): boolean {
  return amountMinor <= MAX_AMOUNT_MINOR && amountMinor >= -MAX_AMOUNT_MINOR;
}

function mismatch(
  matchedMinor: bigint,
  { amount_minor: amountMinor, currency }: LockedTransaction,
  context: WriteContext<'amounts_do_not_match'>,
): Error {
  const [matched, amount] = [formatAmount(matchedMinor, currency), formatAmount(amountMinor, currency)];
  return context.reject(
    'amounts_do_not_match',
    `The lines sum to ${matched}; the bank transaction is ${amount}.`,
    '/matches',
  );
}

type LockedTransaction = {
  id: string;
  status: 'unreconciled' | 'reconciled';
  account_id: string;
  account_code: string;
  booked_on: string;
  amount_minor: bigint;
  currency: string;
  tolerance_minor: bigint | null;
};
