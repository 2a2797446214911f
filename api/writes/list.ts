import { z } from 'zod';
import { id } from '../../activities/fields.ts';
import type { Operation } from '../../activities/operation.ts';
import { holdsOneOf } from '../../activities/roles.ts';
import { type Filter, type List, readPage } from '../reads/page.ts';
import { firstInstant, instantAfter, instantOrDay, operationName, pageQuery } from '../reads/query.ts';
import { defineRead, type Read, type Reader } from '../reads/read.ts';
import { READERS } from '../reads/readers.ts';
import { readableOperations } from './access.ts';
import { FINISHED_COLUMNS, type FinishedRow, finishedWrite, type TemporalUi } from './resource.ts';

const WRITES: List = {
  columns: FINISHED_COLUMNS.join(', '),
  from: 'FROM idempotent_writes',
  where: 'company_id = current_company()',
  order: [
    { sql: 'claimed_at', type: 'timestamptz' },
    { sql: 'idempotency_key', type: 'text' },
  ],
};

/** The writes that have their outcome, and those that are lost. A running write can only be read by its key, since it has no row yet. */
export function createWriteList(operations: readonly Operation[], ui: TemporalUi): Read {
  return defineRead({
    path: '/api/writes',
    summary: 'List the writes that have their outcome; from and to are times of completion',
    group: 'writes',
    answers: { kind: 'list', resource: 'write' },
    params: z.strictObject({}),
    query: z.strictObject({
      ...pageQuery,
      writeId: id().optional().describe('The ID of the write: at most one item has it.'),
      operation: operationName().optional(),
      state: z
        .enum(
          ['succeeded', 'rejected', 'cancelled', 'lost'],
          'must be succeeded, rejected, cancelled or lost; read a write in another state by its key',
        )
        .optional(),
      from: instantOrDay().optional().describe('The first day (UTC) or instant.'),
      to: instantOrDay().optional().describe('The last day (UTC) or instant.'),
    }),
    async read(tx, { query: { limit, cursor, ...filters } }, reader) {
      const { rows, nextCursor } = await readPage<FinishedRow>(
        tx,
        WRITES,
        [
          ['write_id = ?', filters.writeId],
          ['operation = ?', filters.operation],
          ['outcome = ?', filters.state],
          ['completed_at >= ?::timestamptz', filters.from === undefined ? undefined : firstInstant(filters.from)],
          ['completed_at < ?::timestamptz', filters.to === undefined ? undefined : instantAfter(filters.to)],
          ...readableBy(reader, operations),
        ],
        { path: this.path, companyId: reader.companyId, cursors: reader.cursors, filters, limit, cursor },
      );
      return { items: rows.map((row) => finishedWrite(row, ui)), nextCursor };
    },
  });
}

/** Limits the list to the reader's own writes and those whose resource they may read. */
function readableBy({ roles, userId }: Reader, operations: readonly Operation[]): Filter[] {
  if (holdsOneOf(roles, READERS.everything)) return [];
  return [['(user_id = ? OR operation = ANY (?::text[]))', userId, readableOperations(roles, operations)]];
}
