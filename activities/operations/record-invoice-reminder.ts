import { z } from 'zod';
import { DEMO } from '../demo.ts';
import { id } from '../fields.ts';
import { defineOperation } from '../operation.ts';
import type { InvoiceRow } from '../resources/invoice.ts';
import { REMINDER_COLUMNS, type ReminderRow, reminderResource, toReminder } from '../resources/reminder.ts';

export const recordInvoiceReminder = defineOperation({
  name: 'recordInvoiceReminder',
  type: 'high-risk',
  summary: 'Record that a customer is to be reminded of an invoice',
  description:
    'Can be recorded once per invoice and step, and only while something is due on the invoice. The service sends nothing to ' +
    'the customer: it emits the event `invoice.reminder_due` so that you can send it.',
  method: 'POST',
  path: '/api/invoices/:invoiceId/reminders',
  params: z.strictObject({ invoiceId: id() }),
  body: z.strictObject({ step: z.int().min(1).max(3) }),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'manager'],
  successStatus: 201,
  resource: reminderResource,
  event: 'invoice.reminder_due',
  effects: { posts: 'never', makes: 'invoice_reminders' },
  rejections: {
    invoice_not_found: { status: 404, title: 'There is no such invoice' },
    invoice_not_due: { status: 409, title: 'Nothing is due on the invoice' },
    reminder_already_recorded: { status: 409, title: 'The reminder of that step is already recorded' },
  },
  constraints: {},
  examples: [
    {
      name: 'reminder',
      summary: 'The first of three',
      params: { invoiceId: DEMO.finalizedInvoiceId },
      body: { step: 1 },
    },
  ],
  summarize: ({ params, body }) => `recordInvoiceReminder ${body.step} of invoice ${params.invoiceId}`,

  async write(tx, { params, body }, context) {
    const [invoice] = await tx.query<Pick<InvoiceRow, 'id' | 'status'>>('SELECT id, status FROM lock_invoice($1, $2)', [
      context.companyId,
      params.invoiceId,
    ]);
    if (invoice === undefined) {
      throw context.reject('invoice_not_found', `There is no invoice ${params.invoiceId}.`, '/invoiceId', 'path');
    }
    if (invoice.status !== 'finalized' && invoice.status !== 'partially_paid') {
      throw context.reject('invoice_not_due', `The invoice is ${invoice.status}.`, '/invoiceId', 'path');
    }
    const [row] = await tx.query<ReminderRow>(
      `INSERT INTO invoice_reminders (company_id, id, invoice_id, step) VALUES ($1, $2, $3, $4)
       ON CONFLICT ON CONSTRAINT invoice_reminders_once_a_step DO NOTHING
       RETURNING ${REMINDER_COLUMNS}`,
      [context.companyId, context.writeId, invoice.id, body.step],
    );
    if (row === undefined) {
      throw context.reject('reminder_already_recorded', `Reminder ${body.step} is already recorded.`, '/step');
    }
    return { resourceId: row.id, body: toReminder(row) };
  },
});
