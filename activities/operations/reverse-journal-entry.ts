import { z } from 'zod';
import { amountOfEntry } from '../approvals/amounts.ts';
import type { Tx } from '../database.ts';
import { DEMO } from '../demo.ts';
import { date, description, id } from '../fields.ts';
import { matchMirror, undoMatches } from '../ledger/bank-matches.ts';
import { DATE_TOO_LATE, PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { postMirror } from '../ledger/post-mirror.ts';
import { defineOperation, type WriteContext } from '../operation.ts';
import { journalEntryResource, readPostedEntry } from '../resources/journal-entry.ts';

/** The operations whose entries have no other correction. */
const REVERSIBLE_OPERATIONS = ['createJournalEntry', 'reconcileLedger'];

export const reverseJournalEntry = defineOperation({
  name: 'reverseJournalEntry',
  type: 'financial',
  summary: 'Reverse a journal entry',
  description:
    'Posts the mirror of an entry, dated `date` or today in the company’s time zone, with `reason` as its description. An ' +
    'entry can be reversed once. Only manual entries and differences posted by a reconciliation can be reversed; other ' +
    'entries are corrected by their own operations. Reversing a difference sets its bank transaction back to unreconciled.',
  method: 'POST',
  path: '/api/ledger/entries/:entryId/reverse',
  params: z.strictObject({ entryId: id() }),
  body: z.strictObject({ reason: description(), date: date().optional() }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 201,
  resource: journalEntryResource,
  event: 'journal_entry.reversed',
  effects: {
    posts: 'always',
    entry: 'the mirror of a manual entry, or of a difference that reconciling posted',
    dated: '`date`',
    makes: 'journal_entries',
  },
  rejections: {
    journal_entry_not_found: { status: 404, title: 'There is no such journal entry' },
    entry_not_reversible: { status: 409, title: 'The entry is corrected by another operation' },
    entry_already_reversed: { status: 409, title: 'The entry is already reversed' },
    line_reconciled: { status: 409, title: 'A line of the entry is reconciled with the bank' },
    period_closed: PERIOD_CLOSED,
    date_too_late: { ...DATE_TOO_LATE, about: { in: 'body', pointer: '/date' } },
    date_before_original: {
      status: 422,
      title: 'The date is before that of the reversed entry',
      nextAction: 'fix_request',
    },
  },
  constraints: {
    period_closed: 'period_closed',
    date_too_late: 'date_too_late',
    date_before_original: 'date_before_original',
    journal_entries_reversed_once: 'entry_already_reversed',
    bank_matches_line_once: 'line_reconciled',
  },
  examples: [
    {
      name: 'reverse',
      summary: 'Reverse a manual entry',
      params: { entryId: DEMO.mistakenEntryId },
      body: { reason: 'Posted twice', date: '2026-03-20' },
    },
  ],
  approvalAmount: amountOfEntry,
  summarize: ({ params }) => `reverseJournalEntry ${params.entryId}`,

  async write(tx, { params, body }, context) {
    const entry = await lockEntry(tx, params.entryId, context);
    const day = body.date ?? entry.today;
    if (day < entry.entry_date) {
      throw context.reject('date_before_original', `The entry is dated ${entry.entry_date}.`, '/date');
    }
    // The entry is the difference of a reconciliation: undo that reconciliation, which matches the entry's lines.
    if (entry.reconciles !== null) await undoMatches(tx, entry.reconciles, context);
    const mirror = { id: context.writeId, entryId: entry.id, date: day, description: body.reason };
    const mirrorId = await postMirror(tx, mirror, context);
    await matchMirror(tx, [entry.id, mirrorId], context);
    return { resourceId: mirrorId, body: await readPostedEntry(tx, mirrorId), auditMetadata: { reason: body.reason } };
  },
});

type Unreversible = 'journal_entry_not_found' | 'entry_not_reversible' | 'entry_already_reversed' | 'line_reconciled';

async function lockEntry(tx: Tx, entryId: string, context: WriteContext<Unreversible>): Promise<ReversibleEntry> {
  const [entry] = await tx.query<ReversibleEntry>(
    `SELECT e.id, e.entry_date, e.operation, company_today($1) AS today, t.id AS reconciles,
       EXISTS (SELECT FROM journal_entries r WHERE r.company_id = $1 AND r.reverses = e.id) AS is_reversed,
       EXISTS (SELECT FROM journal_lines l
         JOIN bank_matches m ON m.company_id = l.company_id AND m.journal_line_id = l.id AND m.undone_by IS NULL
         WHERE l.company_id = $1 AND l.entry_id = e.id) AS is_matched
     FROM lock_entry_to_reverse($1, $2) AS e
     LEFT JOIN bank_transactions t ON t.company_id = $1 AND t.reconciled_by = e.write_id`,
    [context.companyId, entryId],
  );
  const refuse = (code: Unreversible, detail: string) => context.reject(code, detail, '/entryId', 'path');
  if (entry === undefined) throw refuse('journal_entry_not_found', `There is no journal entry ${entryId}.`);
  if (!REVERSIBLE_OPERATIONS.includes(entry.operation)) {
    throw refuse('entry_not_reversible', `The entry was posted by ${entry.operation}.`);
  }
  if (entry.is_reversed) throw refuse('entry_already_reversed', 'There is an entry that reverses it.');
  if (entry.is_matched && entry.reconciles === null) {
    throw refuse('line_reconciled', 'Unreconcile the bank transaction first.');
  }
  return entry;
}

type ReversibleEntry = {
  id: string;
  entry_date: string;
  operation: string;
  today: string;
  /** The bank transaction whose difference this entry is; null once it is unreconciled. */
  reconciles: string | null;
  is_reversed: boolean;
  is_matched: boolean;
};
