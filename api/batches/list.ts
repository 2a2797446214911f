import { z } from 'zod';
import { BATCH_STATES, type BatchRow, batchColumns } from '../../activities/batches/batch-row.ts';
import type { Operation } from '../../activities/operation.ts';
import { holdsOneOf } from '../../activities/roles.ts';
import { type Filter, type List, readPage } from '../reads/page.ts';
import { operationName, pageQuery } from '../reads/query.ts';
import { defineRead, type Read, type Reader } from '../reads/read.ts';
import { READERS } from '../reads/readers.ts';
import { readableOperations } from '../writes/access.ts';
import type { TemporalUi } from '../writes/resource.ts';
import { summaryOf } from './resource.ts';

const BATCHES: List = {
  columns: batchColumns('batches'),
  from: 'FROM batches',
  where: 'company_id = current_company()',
  order: [
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'id', type: 'uuid' },
  ],
};

/** The batches that the reader may read, newest first; without their first errors, which are for those who may read the results. */
export function createBatchList(operations: readonly Operation[], ui: TemporalUi): Read {
  return defineRead({
    path: '/api/batches',
    summary: 'List the batches, newest first',
    group: 'writes',
    answers: { kind: 'list', resource: 'batch' },
    params: z.strictObject({}),
    query: z.strictObject({
      ...pageQuery,
      state: z.enum(BATCH_STATES).optional(),
      operation: operationName().optional(),
    }),
    async read(tx, { query: { limit, cursor, ...filters } }, reader) {
      const { rows, nextCursor } = await readPage<BatchRow>(
        tx,
        BATCHES,
        [['state = ?', filters.state], ['operation = ?', filters.operation], ...readableBy(reader, operations)],
        { path: this.path, companyId: reader.companyId, cursors: reader.cursors, filters, limit, cursor },
      );
      return { items: rows.map((batch) => summaryOf(batch, ui)), nextCursor };
    },
  });
}

function readableBy({ roles, userId }: Reader, operations: readonly Operation[]): Filter[] {
  if (holdsOneOf(roles, READERS.everything)) return [];
  return [
    [
      "(user_id = ? OR (operations <@ ?::text[] AND operations <> '{}'))",
      userId,
      readableOperations(roles, operations),
    ],
  ];
}
