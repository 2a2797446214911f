import type { Tx } from '../database.ts';
import type { WriteContext } from '../operation.ts';

/** A match of a bank transaction with lines, and the reason that was given for it. */
type Reconciliation = {
  readonly bankTransactionId: string;
  readonly lineIds: readonly string[];
  readonly reason: string | undefined;
};

/**
 * Reconciles a locked bank transaction with these lines. The database refuses lines that do not sum to its amount
 * (`bank_transaction_reconciled_whole`), a line that is already matched (`bank_matches_line_once`), and without a reason a
 * posted difference beyond the company's tolerance (`reconciliations_reason_required`).
 */
export async function matchLines(
  tx: Tx,
  { bankTransactionId, lineIds, reason }: Reconciliation,
  context: WriteContext<'reason_required'>,
): Promise<void> {
  // In the order of their IDs, so that transactions that match the same lines cannot deadlock.
  await tx.query(
    `WITH matched AS (
       INSERT INTO bank_matches (company_id, matched_by, journal_line_id, bank_transaction_id)
       SELECT $1, $2, line_id, $3 FROM unnest($4::uuid[]) AS line_id ORDER BY line_id
     ), kept AS (
       INSERT INTO reconciliations (company_id, id, bank_transaction_id, reason) VALUES ($1, $2, $3, $5)
     )
     UPDATE bank_transactions SET reconciled_by = $2 WHERE company_id = $1 AND id = $3`,
    [context.companyId, context.writeId, bankTransactionId, lineIds, reason ?? null],
  );
}

/** Sets a locked bank transaction back to unreconciled and releases its matched lines. */
export async function undoMatches(tx: Tx, bankTransactionId: string, context: WriteContext): Promise<void> {
  await tx.query(
    `WITH undone AS (
       UPDATE bank_matches SET undone_by = $2
       WHERE company_id = $1 AND bank_transaction_id = $3 AND undone_by IS NULL
     )
     UPDATE bank_transactions SET reconciled_by = NULL WHERE company_id = $1 AND id = $3`,
    [context.companyId, context.writeId, bankTransactionId],
  );
}

/**
 * Matches the bank lines of an entry and of its mirror with each other, since no bank transaction will ever match either.
 * The database refuses this if one of them has been matched meanwhile (`bank_matches_line_once`).
 */
export async function matchMirror(tx: Tx, entryIds: readonly string[], context: WriteContext): Promise<void> {
  await tx.query(
    `INSERT INTO bank_matches (company_id, matched_by, journal_line_id)
     SELECT $1, $2, l.id FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
     WHERE l.company_id = $1 AND l.entry_id = ANY ($3::uuid[]) AND a.is_bank ORDER BY l.id`,
    [context.companyId, context.writeId, entryIds],
  );
}
