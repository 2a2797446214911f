import type { Tx } from '../database.ts';
import type { RuleOfTheLedger, WriteContext } from '../operation.ts';

type Mirror = {
  /** The write's own ID if the mirror is the write's main row. */
  readonly id?: string;
  /** The entry to mirror. */
  readonly entryId: string;
  readonly date: string;
  readonly description: string;
};

/**
 * Posts the mirror of an entry (its lines with the opposite sign, `reverses` set) as the one entry of this write, and returns
 * its ID. The database refuses a second mirror of an entry (`journal_entries_reversed_once`) and a mirror dated before its
 * original (`date_before_original`), in a closed period (`period_closed`) or too far ahead (`date_too_late`).
 */
export async function postMirror(
  tx: Tx,
  { id, entryId, date, description }: Mirror,
  context: WriteContext<RuleOfTheLedger | 'date_before_original'>,
): Promise<string> {
  const mirrorId = id ?? context.rowId('journal_entries', 0);
  await tx.query(
    `SELECT post_mirror(
       p_company => $1, p_entry => $2, p_write => $3, p_operation => $4, p_date => $5, p_description => $6,
       p_original => $7
     )`,
    [context.companyId, mirrorId, context.writeId, context.operation, date, description, entryId],
  );
  return mirrorId;
}
