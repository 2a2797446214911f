import { z } from 'zod';
import { id } from '../../activities/fields.ts';
import { TRIGGER_COLUMNS, type TriggerRow, toTrigger } from '../../activities/resources/trigger.ts';
import { notFound } from '../http/problems.ts';
import { type List, readPage } from './page.ts';
import { pageQuery } from './query.ts';
import { defineRead } from './read.ts';

const TRIGGERS: List = {
  columns: TRIGGER_COLUMNS,
  from: 'FROM workflow_triggers',
  where: 'company_id = current_company()',
  order: [
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'id', type: 'uuid' },
  ],
};

export const listTriggers = defineRead({
  path: '/api/workflows/triggers',
  summary: 'List triggered workflows',
  group: 'company',
  answers: { kind: 'list', resource: 'trigger' },
  params: z.strictObject({}),
  query: z.strictObject(pageQuery),
  async read(tx, { query: { limit, cursor } }, { companyId, cursors }) {
    const page = { path: this.path, companyId, cursors, filters: {}, limit, cursor };
    const { rows, nextCursor } = await readPage<TriggerRow>(tx, TRIGGERS, [], page);
    return { items: rows.map(toTrigger), nextCursor };
  },
});

export const readTrigger = defineRead({
  path: '/api/workflows/triggers/:triggerId',
  summary: 'Read a triggered workflow',
  group: 'company',
  answers: { kind: 'one', resource: 'trigger' },
  params: z.strictObject({ triggerId: id() }),
  query: z.strictObject({}),
  async read(tx, { params: { triggerId } }) {
    const [row] = await tx.query<TriggerRow>(
      `SELECT ${TRIGGER_COLUMNS} FROM workflow_triggers WHERE company_id = current_company() AND id = $1`,
      [triggerId],
    );
    if (row === undefined) throw notFound('trigger', `There is no trigger ${triggerId}.`);
    return toTrigger(row);
  },
});
