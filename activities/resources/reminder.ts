import { z } from 'zod';
import type { ResourceType } from '../operation.ts';
import { instant, resourceId } from './members.ts';

/** The API's form of a reminder and its columns. */
export const REMINDER_COLUMNS = 'id, invoice_id, step, created_at';

export type ReminderRow = { id: string; invoice_id: string; step: number; created_at: string };

export function toReminder(row: ReminderRow): z.output<typeof reminderSchema> {
  return { id: row.id, invoiceId: row.invoice_id, step: row.step, createdAt: row.created_at };
}

export const reminderSchema = z.object({
  id: resourceId(),
  invoiceId: resourceId(),
  step: z.int().min(1).max(3),
  createdAt: instant(),
});

export const reminderResource: ResourceType = { type: 'reminder', reads: '/api/reminders', schema: reminderSchema };
