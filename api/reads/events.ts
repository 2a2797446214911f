import { z } from 'zod';
import type { Tx } from '../../activities/database.ts';
import { id } from '../../activities/fields.ts';
import { EVENT_COLUMNS, type EventRow, toEvent } from '../../activities/resources/event.ts';
import { holdsOneOf } from '../../activities/roles.ts';
import { ApiProblem, notFound } from '../http/problems.ts';
import { type Filter, type List, readPage } from './page.ts';
import { dateRange, eventKind, pageQuery } from './query.ts';
import { defineRead } from './read.ts';
import { READERS } from './readers.ts';

/** By the sequence number that the relay assigns a moment after the write. Before that, an event is not listed. */
const NEWEST_FIRST: List = {
  columns: EVENT_COLUMNS,
  from: 'FROM outbox',
  where: 'company_id = current_company() AND sequence IS NOT NULL',
  order: [{ sql: 'sequence', type: 'bigint' }],
};
const OLDEST_FIRST: List = { ...NEWEST_FIRST, order: [{ sql: 'sequence', type: 'bigint', ascending: true }] };

export const listEvents = defineRead({
  path: '/api/events',
  summary:
    'List events, newest first unless asked otherwise; a new event always comes after all events listed before it',
  group: 'company',
  answers: { kind: 'list', resource: 'event' },
  params: z.strictObject({}),
  query: z.strictObject({
    ...pageQuery,
    kind: eventKind().optional(),
    from: dateRange.from,
    after: id()
      .optional()
      .describe('The ID of an event: only the events that come after it, oldest first unless `order` says otherwise.'),
    order: z
      .enum(['oldest', 'newest'])
      .optional()
      .describe('Which events come first; `newest` if neither this nor `after` is given.'),
  }),
  async read(tx, { query }, { companyId, cursors, roles }) {
    const { limit, cursor, kind, from, after } = query;
    const oldestFirst = (query.order ?? (after === undefined ? 'newest' : 'oldest')) === 'oldest';
    const start = after === undefined ? undefined : await sequenceOf(tx, after, roles);
    // Not listed yet, so all events that are listed come before it.
    if (start === null) return { items: [], nextCursor: null };
    // A list in the default order has the cursors of the releases that knew no other.
    const filters = { kind, from, after, order: oldestFirst ? 'oldest' : undefined };
    const { rows, nextCursor } = await readPage<EventRow>(
      tx,
      oldestFirst ? OLDEST_FIRST : NEWEST_FIRST,
      [
        ['kind = ?', kind],
        ["occurred_at >= ?::date::timestamp AT TIME ZONE 'UTC'", from],
        ['sequence > ?::bigint', start],
        withoutPayRuns(roles),
      ],
      { path: this.path, companyId, cursors, filters, limit, cursor },
    );
    return { items: rows.map(toEvent), nextCursor };
  },
});

/**
 * The sequence number of an event, null before it has one. An event that the reader may not see is answered like one that
 * there is not: its ID follows from operation and key, so that a position after it would tell whether and when it happened.
 */
async function sequenceOf(tx: Tx, eventId: string, roles: readonly string[]): Promise<string | null> {
  const [sql, hidden] = withoutPayRuns(roles);
  // Ordered by the ID, which lies between itself and itself: only the primary key can do that without a sort. While the statistics
  // do not know the company, every index that begins with it costs the same, and another one reads all events of the company.
  const [row] = await tx.query<{ sequence: string | null }>(
    `SELECT sequence::text FROM outbox
     WHERE company_id = current_company() AND id BETWEEN $1 AND $1 AND ${sql.replace('?', '$2')} ORDER BY id LIMIT 1`,
    [eventId, hidden],
  );
  if (row !== undefined) return row.sequence;
  const message = 'is not an event of this company that you may read';
  throw new ApiProblem('validation_failed', {
    detail: `${eventId} ${message}.`,
    errors: [{ in: 'query', pointer: '/after', message }],
  });
}

export const readEvent = defineRead({
  path: '/api/events/:eventId',
  summary: 'Read an event and the state of its delivery',
  group: 'company',
  answers: { kind: 'one', resource: 'event' },
  params: z.strictObject({ eventId: id() }),
  query: z.strictObject({}),
  async read(tx, { params: { eventId } }, { roles }) {
    const [sql, hidden] = withoutPayRuns(roles);
    const [row] = await tx.query<EventRow>(
      `SELECT ${EVENT_COLUMNS} FROM outbox WHERE company_id = current_company() AND id = $1 AND ${sql.replace('?', '$2')}`,
      [eventId, hidden],
    );
    if (row === undefined) throw notFound('event', `There is no event ${eventId}.`);
    return toEvent(row);
  },
});

/** Hides the events of pay runs from those who may not read payroll; the empty pattern hides nothing. */
function withoutPayRuns(roles: readonly string[]): Filter {
  return ['kind NOT LIKE ?', holdsOneOf(roles, READERS.payroll) ? '' : 'pay\\_run.%'];
}
