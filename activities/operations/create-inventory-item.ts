import { z } from 'zod';
import { amountAt } from '../approvals/amounts.ts';
import { amount, currency, date, name, reference, wholeUnits } from '../fields.ts';
import { movementOf, postMovements } from '../inventory/post-movements.ts';
import { DATE_TOO_LATE, PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { MAX_AMOUNT_MINOR } from '../money.ts';
import { defineOperation, type WriteContext } from '../operation.ts';
import { ITEM_COLUMNS, type ItemRow, inventoryItemResource, toItem } from '../resources/inventory-item.ts';

const body = z
  .strictObject({
    sku: reference(),
    name: name(),
    currency: currency(),
    openingQuantity: wholeUnits().optional(),
    openingUnitCost: amount().optional(),
    date: date().optional(),
  })
  .refine((item) => item.openingUnitCost === undefined || item.openingQuantity !== undefined, {
    path: ['openingUnitCost'],
    message: 'must come with openingQuantity',
  });

export const createInventoryItem = defineOperation({
  name: 'createInventoryItem',
  type: 'high-risk',
  summary: 'Create an inventory item',
  description:
    'An item is kept in stock in whole units. With an `openingQuantity`, at `openingUnitCost` each, posts debit inventory, ' +
    'credit owner’s equity. The entry is dated `date`, or today in the company’s time zone.',
  method: 'POST',
  path: '/api/inventory/items',
  params: z.strictObject({}),
  body,
  schemaVersion: 1,
  roles: ['owner', 'admin', 'manager', 'inventory_manager'],
  successStatus: 201,
  resource: inventoryItemResource,
  event: 'inventory_item.created',
  effects: {
    posts: 'sometimes',
    entry: 'with an opening quantity: Dr 1200 · Cr 3000',
    dated: '`date`',
    makes: 'inventory_items',
  },
  rejections: {
    sku_taken: { status: 409, title: 'Another item has this SKU', nextAction: 'fix_request' },
    unit_cost_required: { status: 422, title: 'The cost of a unit is not known', nextAction: 'fix_request' },
    amount_out_of_range: { status: 422, title: 'The value is above 10^13', nextAction: 'fix_request' },
    period_closed: PERIOD_CLOSED,
    date_too_late: { ...DATE_TOO_LATE, about: { in: 'body', pointer: '/date' } },
  },
  constraints: { inventory_items_sku_key: 'sku_taken', period_closed: 'period_closed', date_too_late: 'date_too_late' },
  examples: [
    {
      name: 'item',
      summary: 'With 40 units in stock',
      params: {},
      body: {
        sku: 'CHAIR-02',
        name: 'Office chair',
        currency: 'USD',
        openingQuantity: 40,
        openingUnitCost: 7_250,
        date: '2026-03-02',
      },
    },
    {
      name: 'empty',
      summary: 'Nothing in stock yet',
      params: {},
      body: { sku: 'DESK-01', name: 'Desk', currency: 'USD' },
    },
  ],
  approvalAmount: amountAt('value'),
  summarize: ({ body: item }) => `createInventoryItem ${item.sku}`,

  async write(tx, { body: item }, context) {
    const quantity = item.openingQuantity ?? 0;
    const valueMinor = openingValue(quantity, item.openingUnitCost, context);
    const [row] = await tx.query<ItemRow & { today: string }>(
      `INSERT INTO inventory_items (company_id, id, sku, name, currency, quantity, value_minor)
       VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ${ITEM_COLUMNS}, company_today($1) AS today`,
      [context.companyId, context.writeId, item.sku, item.name, item.currency, quantity, valueMinor],
    );
    if (row === undefined) throw new Error('Bug! The INSERT returned no row');
    if (quantity > 0) {
      const movement = movementOf(
        {
          itemId: row.id,
          quantityDelta: row.quantity,
          costMinor: valueMinor,
          currency: row.currency,
          offset: { role: 'owners_equity' },
          reason: 'Opening quantity',
          date: item.date ?? row.today,
        },
        context,
      );
      await Promise.all(postMovements(tx, context.companyId, 'createInventoryItem', [movement]));
    }
    return { resourceId: row.id, body: toItem(row) };
  },
});

function openingValue(
  quantity: number,
  unitCost: number | undefined,
  context: WriteContext<'unit_cost_required' | 'amount_out_of_range'>,
): bigint {
  if (quantity === 0) return 0n;
  if (unitCost === undefined) {
    throw context.reject(
      'unit_cost_required',
      'openingUnitCost is required with an opening quantity.',
      '/openingUnitCost',
    );
  }
  const valueMinor = BigInt(quantity) * BigInt(unitCost);
  if (valueMinor > MAX_AMOUNT_MINOR) {
    throw context.reject('amount_out_of_range', `The opening value is ${valueMinor} minor units.`, '/openingQuantity');
  }
  return valueMinor;
}
