import { z } from 'zod';
import { currency, id } from '../../activities/fields.ts';
import {
  CREDIT_NOTE_COLUMNS,
  type CreditNoteRow,
  withCreditNoteLines,
} from '../../activities/resources/credit-note.ts';
import { notFound } from '../http/problems.ts';
import { type List, readPage } from './page.ts';
import { planJoins } from './plan-joins.ts';
import { dateRange, pageQuery } from './query.ts';
import { defineRead } from './read.ts';

const CREDIT_NOTES: List = {
  columns: CREDIT_NOTE_COLUMNS,
  from: 'FROM credit_notes n',
  where: 'company_id = current_company()',
  order: [
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'id', type: 'uuid' },
  ],
};

export const listCreditNotes = defineRead({
  path: '/api/credit-notes',
  summary: 'List credit notes; from and to are their dates',
  group: 'sales',
  answers: { kind: 'list', resource: 'credit_note' },
  params: z.strictObject({}),
  query: z.strictObject({
    ...pageQuery,
    ...dateRange,
    customerId: id().optional(),
    invoiceId: id().optional(),
    currency: currency().optional(),
  }),
  async read(tx, { query: { limit, cursor, ...filters } }, { companyId, cursors }) {
    if (filters.customerId !== undefined) await planJoins(tx, ['invoices']);
    const { rows, nextCursor } = await readPage<CreditNoteRow>(
      tx,
      CREDIT_NOTES,
      [
        [
          `EXISTS (SELECT 1 FROM invoices i
             WHERE i.company_id = n.company_id AND i.id = n.invoice_id AND i.customer_id = ?)`,
          filters.customerId,
        ],
        ['invoice_id = ?', filters.invoiceId],
        ['currency = ?', filters.currency],
        ['credited_on >= ?', filters.from],
        ['credited_on <= ?', filters.to],
      ],
      { path: this.path, companyId, cursors, filters, limit, cursor },
    );
    return { items: await withCreditNoteLines(tx, rows), nextCursor };
  },
});

export const readCreditNote = defineRead({
  path: '/api/credit-notes/:creditNoteId',
  summary: 'Read a credit note',
  group: 'sales',
  answers: { kind: 'one', resource: 'credit_note' },
  params: z.strictObject({ creditNoteId: id() }),
  query: z.strictObject({}),
  async read(tx, { params: { creditNoteId } }) {
    const rows = await tx.query<CreditNoteRow>(
      `SELECT ${CREDIT_NOTE_COLUMNS} FROM credit_notes WHERE company_id = current_company() AND id = $1`,
      [creditNoteId],
    );
    const [note] = await withCreditNoteLines(tx, rows);
    if (note === undefined) throw notFound('credit_note', `There is no credit note ${creditNoteId}.`);
    return note;
  },
});
