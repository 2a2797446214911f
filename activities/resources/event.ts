import { z } from 'zod';
import { instant, resourceId } from './members.ts';

/** The API's form of an event and its columns. */
export const EVENT_COLUMNS = `id, kind, write_id, payload ->> 'approvedBy' AS approved_by, occurred_at, delivery_state, attempts,
  last_error, delivered_at`;

const STATES = ['none', 'pending', 'delivered', 'given_up'] as const;

export type EventRow = {
  id: string;
  kind: string;
  write_id: string;
  approved_by: string | null;
  occurred_at: string;
  delivery_state: (typeof STATES)[number];
  attempts: number;
  last_error: string | null;
  delivered_at: string | null;
};

export function toEvent(row: EventRow): z.output<typeof eventSchema> {
  return {
    id: row.id,
    kind: row.kind,
    writeId: row.write_id,
    approvedBy: row.approved_by,
    occurredAt: row.occurred_at,
    delivery: {
      state: row.delivery_state,
      attempts: row.attempts,
      lastError: row.last_error,
      deliveredAt: row.delivery_state === 'delivered' ? row.delivered_at : null,
    },
  };
}

export const eventSchema = z.object({
  id: resourceId(),
  kind: z.string(),
  writeId: resourceId(),
  approvedBy: resourceId()
    .nullable()
    .meta({ description: 'Who has given the last approval that the write needed; null if it needed none' }),
  occurredAt: instant(),
  delivery: z.object({
    state: z.enum(STATES).meta({ description: 'The state of the webhook call; none: the company had no webhook' }),
    attempts: z.int().min(0),
    lastError: z.string().nullable(),
    deliveredAt: instant().nullable(),
  }),
});
