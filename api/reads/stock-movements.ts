import { z } from 'zod';
import type { Tx } from '../../activities/database.ts';
import { id } from '../../activities/fields.ts';
import { toWireAmount, toWireSum } from '../../activities/money.ts';
import { type List, readPage } from './page.ts';
import { planJoins } from './plan-joins.ts';
import { dateRange, pageQuery } from './query.ts';
import { defineRead } from './read.ts';

/** By date and, within a day, in the order of posting; newest first. */
const MOVEMENTS: List = {
  columns: 'id, item_id, moved_on, quantity_delta, value_delta_minor, journal_entry_id',
  from: 'FROM inventory_movements',
  where: 'company_id = current_company()',
  order: [
    { sql: 'moved_on', type: 'date' },
    { sql: 'created_at', type: 'timestamptz' },
    { sql: 'id', type: 'uuid' },
  ],
};

/** The movements of stock, each with the quantity and the value of its item after it. */
export const listStockMovements = defineRead({
  path: '/api/reports/stock-movements',
  summary: 'List movements of stock, each with the quantity and value of its item after it',
  group: 'inventory',
  answers: { kind: 'list', resource: 'stock_movement' },
  params: z.strictObject({}),
  query: z.strictObject({ ...pageQuery, ...dateRange, itemId: id().optional().describe('Those of one item.') }),
  async read(tx, { query: { limit, cursor, ...filters } }, { companyId, cursors }) {
    const { rows, nextCursor } = await readPage<MovementRow>(
      tx,
      MOVEMENTS,
      [
        ['item_id = ?', filters.itemId],
        ['moved_on >= ?', filters.from],
        ['moved_on <= ?', filters.to],
      ],
      { path: this.path, companyId, cursors, filters, limit, cursor },
    );
    return { items: await withStock(tx, rows), nextCursor };
  },
});

type MovementRow = {
  id: string;
  item_id: string;
  moved_on: string;
  quantity_delta: bigint;
  value_delta_minor: bigint;
  journal_entry_id: string;
};

/** The sums count all movements of the items, whatever the filters of the page leave out. */
async function withStock(tx: Tx, rows: readonly MovementRow[]) {
  if (rows.length === 0) return [];
  await planJoins(tx, ['journal_entries']);
  const stock = await tx.query<StockRow>(
    `SELECT s.id, e.operation, s.quantity, s.value_minor
     FROM (
       SELECT m.id, m.journal_entry_id, sum(m.quantity_delta) OVER days AS quantity,
         sum(m.value_delta_minor) OVER days AS value_minor
       FROM inventory_movements m
       WHERE m.company_id = current_company() AND m.item_id = ANY ($1::uuid[])
       WINDOW days AS (PARTITION BY m.item_id ORDER BY m.moved_on, m.created_at, m.id)
     ) AS s JOIN journal_entries e ON e.company_id = current_company() AND e.id = s.journal_entry_id
     WHERE s.id = ANY ($2::uuid[])`,
    [[...new Set(rows.map((row) => row.item_id))], rows.map((row) => row.id)],
  );
  const stockAfter = new Map(stock.map((row) => [row.id, row]));
  return rows.map((row) => {
    const after = stockAfter.get(row.id);
    if (after === undefined) throw new Error('Bug! A movement without its entry');
    return {
      id: row.id,
      itemId: row.item_id,
      date: row.moved_on,
      quantityDelta: toWireAmount(row.quantity_delta),
      cost: toWireAmount(row.value_delta_minor),
      quantity: toWireSum(BigInt(after.quantity)),
      value: toWireSum(BigInt(after.value_minor)),
      journalEntryId: row.journal_entry_id,
      operation: after.operation,
    };
  });
}

/** The sums are `numeric`, as text: as of a day before others were posted, they have no limit. */
type StockRow = { id: string; operation: string; quantity: string; value_minor: string };
