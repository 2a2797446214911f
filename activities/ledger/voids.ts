/** What all voids of documents declare and share: those of payments, refunds and credit notes. */

export const ALREADY_VOIDED = { status: 409, title: 'It is void already' } as const;

export const LINE_RECONCILED = {
  status: 409,
  title: 'Its line of the bank account is reconciled with the bank',
} as const;

export const NOT_VOID = { voided_on: null, void_reason: null } as const;

/** Of an entry: whether a bank transaction is matched with a line of it. `entry` is SQL. */
export function isReconciled(entry: string): string {
  return `EXISTS (SELECT FROM journal_lines l
    JOIN bank_matches m ON m.company_id = l.company_id AND m.journal_line_id = l.id AND m.undone_by IS NULL
    WHERE l.company_id = $1 AND l.entry_id = ${entry})`;
}
