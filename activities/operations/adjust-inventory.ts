import { z } from 'zod';
import { DEMO } from '../demo.ts';
import { accountCode, amount, date, description, id, unitsDelta } from '../fields.ts';
import { costOf } from '../inventory/cost.ts';
import { postMovement } from '../inventory/post-movement.ts';
import { ACCOUNTS } from '../ledger/accounts.ts';
import { PERIOD_CLOSED } from '../ledger/post-entry.ts';
import { MAX_AMOUNT_MINOR } from '../money.ts';
import { defineOperation } from '../operation.ts';
import { ITEM_COLUMNS, type ItemRow, inventoryItemResource, toItem } from '../resources/inventory-item.ts';

const body = z
  .strictObject({
    quantityDelta: unitsDelta(),
    reason: description(),
    unitCost: amount().optional(),
    offsetAccountCode: accountCode().default(ACCOUNTS.inventoryAdjustments),
    date: date().optional(),
  })
  .refine((adjustment) => adjustment.unitCost === undefined || adjustment.quantityDelta > 0, {
    path: ['unitCost'],
    message: 'must be omitted when quantityDelta is negative: removed units cost the average',
  });

export const adjustInventory = defineOperation({
  name: 'adjustInventory',
  type: 'high-risk',
  summary: 'Adjust the stock of an item',
  description:
    'Added units cost `unitCost`, or the average when it is omitted: posts debit inventory, credit inventory adjustments ' +
    '(5100, or `offsetAccountCode`). Removed units cost the average and are posted the other way round; the stock never ' +
    'falls below zero. The entry is dated `date`, or today in the company’s time zone.',
  method: 'POST',
  path: '/api/inventory/:itemId/adjust',
  params: z.strictObject({ itemId: id() }),
  body,
  schemaVersion: 1,
  roles: ['owner', 'admin', 'manager', 'inventory_manager'],
  successStatus: 200,
  resource: inventoryItemResource,
  event: 'inventory.adjusted',
  effects: {
    posts: 'always',
    entry: 'more: Dr 1200 · Cr 5100, or `offsetAccountCode`, such as 2000 or 5000; less: the other way round',
    dated: '`date`',
    makes: 'inventory_movements',
  },
  rejections: {
    inventory_item_not_found: { status: 404, title: 'There is no such item' },
    account_not_usable: {
      status: 422,
      title: 'The account cannot be used for stock adjustments',
      nextAction: 'fix_request',
    },
    insufficient_stock: { status: 422, title: 'There are fewer units in stock' },
    unit_cost_required: { status: 422, title: 'The cost of a unit is not known', nextAction: 'fix_request' },
    amount_out_of_range: { status: 422, title: 'The value is above 10^13', nextAction: 'fix_request' },
    period_closed: PERIOD_CLOSED,
  },
  constraints: { period_closed: 'period_closed' },
  examples: [
    {
      name: 'more',
      summary: 'Ten units delivered on account',
      params: { itemId: DEMO.itemId },
      body: {
        quantityDelta: 10,
        reason: 'Delivery 4711',
        unitCost: 12_500,
        offsetAccountCode: ACCOUNTS.payable,
        date: '2026-03-13',
      },
    },
    {
      name: 'less',
      summary: 'Three units were broken',
      params: { itemId: DEMO.itemId },
      body: { quantityDelta: -3, reason: 'Broken in the warehouse', date: '2026-03-12' },
    },
  ],
  summarize: ({ params, body: adjustment }) =>
    `adjustInventory ${adjustment.quantityDelta > 0 ? '+' : ''}${adjustment.quantityDelta} of item ${params.itemId}`,

  async write(tx, { params, body: adjustment }, context) {
    const [item] = await tx.query<ItemRow & { today: string; offset_usable: boolean }>(
      `SELECT ${ITEM_COLUMNS}, company_today($1) AS today,
         EXISTS (SELECT FROM accounts a WHERE a.company_id = $1 AND a.code = $3 AND NOT a.is_control) AS offset_usable
       FROM lock_inventory_item($1, $2)`,
      [context.companyId, params.itemId, adjustment.offsetAccountCode],
    );
    if (item === undefined) {
      throw context.reject('inventory_item_not_found', `There is no item ${params.itemId}.`, '/itemId', 'path');
    }
    if (!item.offset_usable) {
      const { offsetAccountCode } = adjustment;
      throw context.reject(
        'account_not_usable',
        `${offsetAccountCode} is not an account of this company, or it is a control account.`,
        '/offsetAccountCode',
      );
    }
    const quantityDelta = BigInt(adjustment.quantityDelta);
    const costMinor = costOf({ quantityDelta, stock: item, unitCost: adjustment.unitCost }, context);
    if (item.value_minor + costMinor > MAX_AMOUNT_MINOR) {
      throw context.reject(
        'amount_out_of_range',
        'The value of the item would be above 10^13 minor units.',
        '/quantityDelta',
      );
    }
    const [row] = await tx.query<ItemRow>(
      `UPDATE inventory_items SET quantity = quantity + $3, value_minor = value_minor + $4
       WHERE company_id = $1 AND id = $2 RETURNING ${ITEM_COLUMNS}`,
      [context.companyId, item.id, quantityDelta, costMinor],
    );
    if (row === undefined) throw new Error('Bug! The locked item does not exist');
    await postMovement(
      tx,
      {
        itemId: item.id,
        quantityDelta,
        costMinor,
        currency: item.currency,
        offsetAccountCode: adjustment.offsetAccountCode,
        reason: adjustment.reason,
        date: adjustment.date ?? item.today,
      },
      context,
    );
    return { resourceId: row.id, body: toItem(row) };
  },
});
