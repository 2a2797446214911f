import type { Tx } from '../database.ts';
import type { WriteContext } from '../operation.ts';

type Mirror = {
  /** The write's own ID where the mirror is the main row that the write makes. */
  readonly id?: string;
  /** The entry that it mirrors. */
  readonly entryId: string;
  readonly date: string;
  readonly description: string;
};

/**
 * Posts the mirror of an entry (its lines, every sign turned, `reverses` set) as the one entry of this write, and answers
 * its ID. The database refuses a second mirror of one entry (`journal_entries_reversed_once`), one dated before its
 * original (`date_before_original`) or in a closed period (`period_closed`).
 */
export async function postMirror(
  tx: Tx,
  { id, entryId, date, description }: Mirror,
  context: WriteContext<'period_closed' | 'date_before_original'>,
): Promise<string> {
  const mirrorId = id ?? context.rowId('journal_entries', 0);
  await tx.query('SELECT post_mirror($1, $2, $3, $4, $5, $6, $7)', [
    context.companyId,
    mirrorId,
    context.writeId,
    context.operation,
    date,
    description,
    entryId,
  ]);
  return mirrorId;
}
