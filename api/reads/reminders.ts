import { z } from 'zod';
import { id } from '../../activities/fields.ts';
import { REMINDER_COLUMNS, type ReminderRow, toReminder } from '../../activities/resources/reminder.ts';
import { notFound } from '../http/problems.ts';
import { type List, readPage } from './page.ts';
import { pageQuery } from './query.ts';
import { defineRead } from './read.ts';

const REMINDERS: List = {
  columns: REMINDER_COLUMNS,
  from: 'FROM invoice_reminders',
  where: 'company_id = current_company()',
  order: [
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'id', type: 'uuid' },
  ],
};

export const listReminders = defineRead({
  path: '/api/reminders',
  summary: 'List reminders',
  group: 'sales',
  answers: { kind: 'list', resource: 'reminder' },
  params: z.strictObject({}),
  query: z.strictObject({ ...pageQuery, invoiceId: id().optional() }),
  async read(tx, { query: { limit, cursor, ...filters } }, { companyId, cursors }) {
    const { rows, nextCursor } = await readPage<ReminderRow>(tx, REMINDERS, [['invoice_id = ?', filters.invoiceId]], {
      path: this.path,
      companyId,
      cursors,
      filters,
      limit,
      cursor,
    });
    return { items: rows.map(toReminder), nextCursor };
  },
});

export const readReminder = defineRead({
  path: '/api/reminders/:reminderId',
  summary: 'Read a reminder',
  group: 'sales',
  answers: { kind: 'one', resource: 'reminder' },
  params: z.strictObject({ reminderId: id() }),
  query: z.strictObject({}),
  async read(tx, { params: { reminderId } }) {
    const [row] = await tx.query<ReminderRow>(
      `SELECT ${REMINDER_COLUMNS} FROM invoice_reminders WHERE company_id = current_company() AND id = $1`,
      [reminderId],
    );
    if (row === undefined) throw notFound('reminder', `There is no reminder ${reminderId}.`);
    return toReminder(row);
  },
});
