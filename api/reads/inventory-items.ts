import { z } from 'zod';
import { id } from '../../activities/fields.ts';
import { ITEM_COLUMNS, type ItemRow, toItem } from '../../activities/resources/inventory-item.ts';
import { notFound } from '../http/problems.ts';
import { type List, readPage } from './page.ts';
import { pageQuery } from './query.ts';
import { defineRead } from './read.ts';

const ITEMS: List = {
  columns: ITEM_COLUMNS,
  from: 'FROM inventory_items',
  where: 'company_id = current_company()',
  order: [
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'id', type: 'uuid' },
  ],
};

export const listItems = defineRead({
  path: '/api/inventory/items',
  summary: 'List inventory items',
  group: 'inventory',
  answers: { kind: 'list', resource: 'inventory_item' },
  params: z.strictObject({}),
  query: z.strictObject(pageQuery),
  async read(tx, { query: { limit, cursor } }, { companyId, cursors }) {
    const page = { path: this.path, companyId, cursors, filters: {}, limit, cursor };
    const { rows, nextCursor } = await readPage<ItemRow>(tx, ITEMS, [], page);
    return { items: rows.map(toItem), nextCursor };
  },
});

export const readItem = defineRead({
  path: '/api/inventory/items/:itemId',
  summary: 'Read an inventory item',
  group: 'inventory',
  answers: { kind: 'one', resource: 'inventory_item' },
  params: z.strictObject({ itemId: id() }),
  query: z.strictObject({}),
  async read(tx, { params: { itemId } }) {
    const [row] = await tx.query<ItemRow>(
      `SELECT ${ITEM_COLUMNS} FROM inventory_items WHERE company_id = current_company() AND id = $1`,
      [itemId],
    );
    if (row === undefined) throw notFound('inventory_item', `There is no item ${itemId}.`);
    return toItem(row);
  },
});
