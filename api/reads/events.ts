import { z } from 'zod';
import { id } from '../../activities/fields.ts';
import { EVENT_COLUMNS, type EventRow, toEvent } from '../../activities/resources/event.ts';
import { holdsOneOf } from '../../activities/roles.ts';
import { notFound } from '../http/problems.ts';
import { type Filter, type List, readPage } from './page.ts';
import { dateRange, eventKind, pageQuery } from './query.ts';
import { defineRead } from './read.ts';
import { READERS } from './readers.ts';

/** By the sequence number that the relay assigns a moment after the write. Before that, an event is not listed. */
const EVENTS: List = {
  columns: EVENT_COLUMNS,
  from: 'FROM outbox',
  where: 'company_id = current_company() AND sequence IS NOT NULL',
  order: [{ sql: 'sequence', type: 'bigint' }],
};

export const listEvents = defineRead({
  path: '/api/events',
  summary: 'List events, newest first; a new event always comes after all events listed before it',
  group: 'company',
  answers: { kind: 'list', resource: 'event' },
  params: z.strictObject({}),
  query: z.strictObject({ ...pageQuery, kind: eventKind().optional(), from: dateRange.from }),
  async read(tx, { query: { limit, cursor, ...filters } }, { companyId, cursors, roles }) {
    const { rows, nextCursor } = await readPage<EventRow>(
      tx,
      EVENTS,
      [
        ['kind = ?', filters.kind],
        ["occurred_at >= ?::date::timestamp AT TIME ZONE 'UTC'", filters.from],
        withoutPayRuns(roles),
      ],
      { path: this.path, companyId, cursors, filters, limit, cursor },
    );
    return { items: rows.map(toEvent), nextCursor };
  },
});

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
