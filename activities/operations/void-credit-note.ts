import { z } from 'zod';
import { amountAt } from '../approvals/amounts.ts';
import { formatAmount } from '../currencies.ts';
import { DEMO } from '../demo.ts';
import { date, description, id } from '../fields.ts';
import { correctionDate, DATE_BEFORE_ORIGINAL } from '../ledger/correction-date.ts';
import { ABOVE_TOTAL, firstDayAboveTotal, lockClaims } from '../ledger/due-by-day.ts';
import { DATE_TOO_LATE, PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { postMirror } from '../ledger/post-mirror.ts';
import { ALREADY_VOIDED } from '../ledger/voids.ts';
import { defineOperation } from '../operation.ts';
import {
  CREDIT_NOTE_COLUMNS,
  type CreditNoteRow,
  creditNoteResource,
  withCreditNoteLines,
} from '../resources/credit-note.ts';
import { documentNumber } from '../resources/document-number.ts';

export const voidCreditNote = defineOperation({
  name: 'voidCreditNote',
  type: 'financial',
  summary: 'Void a credit note',
  description:
    'Takes a credit note back: its total is due on the invoice again, and its lines can be credited again. Each of its lines must ' +
    'be credited by no later note that is not void (`not_latest_credit`): the note that credits the rest of a line also credits ' +
    'the rest of its tax. Likewise at a tax rate where lines with a negative price take off, if a later note got less tax ' +
    'because of this one. Posts the mirror of its entry, dated `date` or today in the company’s time zone. The note keeps its number.',
  method: 'POST',
  path: '/api/credit-notes/:creditNoteId/void',
  params: z.strictObject({ creditNoteId: id() }),
  body: z.strictObject({ reason: description(), date: date().optional() }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'accountant'],
  successStatus: 200,
  resource: creditNoteResource,
  event: 'credit_note.voided',
  effects: {
    posts: 'always',
    entry: 'the mirror of what the note posted: Dr 1100 · Cr 4000, or each line’s account · Cr 2100',
    dated: '`date`',
  },
  rejections: {
    credit_note_not_found: { status: 404, title: 'There is no such credit note' },
    already_voided: ALREADY_VOIDED,
    not_latest_credit: {
      status: 409,
      title: 'A later note has credited a line of it: void that one first',
      about: { in: 'path', pointer: '/creditNoteId' },
    },
    date_before_original: DATE_BEFORE_ORIGINAL,
    as_of_conflict: ABOVE_TOTAL,
    period_closed: PERIOD_CLOSED,
    date_too_late: { ...DATE_TOO_LATE, about: { in: 'body', pointer: '/date' } },
  },
  constraints: {
    period_closed: 'period_closed',
    date_too_late: 'date_too_late',
    as_of_conflict: 'as_of_conflict',
    // At a rate, only the database knows.
    not_latest_credit: 'not_latest_credit',
  },
  examples: [
    {
      name: 'void-credit-note',
      summary: 'A discount that was not agreed',
      params: { creditNoteId: DEMO.voidableCreditNoteId },
      body: { reason: 'Given by mistake', date: '2026-03-16' },
    },
  ],
  approvalAmount: amountAt('total'),
  summarize: ({ params }) => `voidCreditNote ${params.creditNoteId}`,

  async write(tx, { params: { creditNoteId }, body }, context) {
    const { companyId } = context;
    const unlocked = await tx.query<{ invoice_id: string }>(
      'SELECT invoice_id FROM credit_notes WHERE company_id = $1 AND id = $2',
      [companyId, creditNoteId],
    );
    await lockClaims(
      tx,
      companyId,
      unlocked.map(({ invoice_id: invoiceId }) => invoiceId),
      [],
    );
    const [note] = await tx.query<CreditNoteRow & { today: string; later_number: number | null }>(
      `SELECT ${CREDIT_NOTE_COLUMNS}, company_today($1) AS today, (
         SELECT min(o.number) FROM credit_notes o
         WHERE o.company_id = n.company_id AND o.invoice_id = n.invoice_id AND o.number > n.number AND o.voided_on IS NULL
           AND EXISTS (SELECT FROM credit_note_lines a
             JOIN credit_note_lines b ON b.company_id = a.company_id AND b.line_number = a.line_number
             WHERE a.company_id = n.company_id AND a.credit_note_id = n.id AND b.credit_note_id = o.id)
       ) AS later_number
       FROM credit_notes n WHERE company_id = $1 AND id = $2`,
      [companyId, creditNoteId],
    );
    if (note === undefined) {
      throw context.reject(
        'credit_note_not_found',
        `There is no credit note ${creditNoteId}.`,
        '/creditNoteId',
        'path',
      );
    }
    if (note.voided_on !== null) {
      throw context.reject('already_voided', `It was voided on ${note.voided_on}.`, '/creditNoteId', 'path');
    }
    if (note.later_number !== null) {
      const later = documentNumber('credit_note', note.later_number);
      throw context.reject('not_latest_credit', `${later} has credited a line of it later.`, '/creditNoteId', 'path');
    }
    const voidedOn = correctionDate(
      { requested: body.date, today: note.today, originalDate: note.credited_on },
      context,
    );
    const raised = { invoiceId: note.invoice_id, date: voidedOn, raised: note.total_minor };
    const conflict = await firstDayAboveTotal(tx, companyId, raised);
    if (conflict !== undefined) {
      const due = formatAmount(conflict.due, note.currency);
      throw context.reject('as_of_conflict', `${due} is due on the invoice as of ${conflict.day} already.`, '/date');
    }
    const mirror = { entryId: note.journal_entry_id, date: voidedOn, description: `Credit note ${note.id} voided` };
    const mirrorId = await postMirror(tx, mirror, context);
    await tx.query(
      `SELECT record_credit_note_void(p_company => $1, p_note => $2, p_date => $3, p_reason => $4, p_entry => $5)`,
      [companyId, note.id, voidedOn, body.reason, mirrorId],
    );
    const row = { ...note, voided_on: voidedOn, void_reason: body.reason };
    const [answer] = await withCreditNoteLines(tx, [row]);
    if (answer === undefined) throw new Error('Bug! A credit note without its lines');
    return { resourceId: note.id, body: answer };
  },
});
