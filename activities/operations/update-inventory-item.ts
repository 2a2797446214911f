import { z } from 'zod';
import { DEMO } from '../demo.ts';
import { atLeastOneMember, id, name, reference } from '../fields.ts';
import { defineOperation } from '../operation.ts';
import { ITEM_COLUMNS, type ItemRow, inventoryItemResource, toItem } from '../resources/inventory-item.ts';

export const updateInventoryItem = defineOperation({
  name: 'updateInventoryItem',
  type: 'high-risk',
  summary: 'Change the name or the SKU of an inventory item',
  description:
    'Changes the given members, at least one, and leaves the other as it is. Stock and value stay, and nothing is posted. A SKU is ' +
    'unique in the company; the one that the item had can be given to another.',
  method: 'PATCH',
  path: '/api/inventory/items/:itemId',
  params: z.strictObject({ itemId: id() }),
  body: atLeastOneMember(z.strictObject({ name: name().optional(), sku: reference().optional() })),
  schemaVersion: 1,
  roles: ['owner', 'admin', 'manager', 'inventory_manager'],
  successStatus: 200,
  resource: inventoryItemResource,
  event: 'inventory_item.updated',
  effects: { posts: 'never' },
  rejections: {
    inventory_item_not_found: { status: 404, title: 'There is no such item' },
    sku_taken: {
      status: 409,
      title: 'Another item has this SKU',
      nextAction: 'fix_request',
      about: { in: 'body', pointer: '/sku' },
    },
  },
  constraints: { inventory_items_sku_key: 'sku_taken' },
  examples: [
    {
      name: 'name',
      summary: 'A lamp that is sold under another name',
      params: { itemId: DEMO.itemId },
      body: { name: 'Reading lamp' },
    },
    {
      name: 'sku',
      summary: 'A SKU as another system writes it',
      params: { itemId: DEMO.itemId },
      body: { sku: 'LAMP-0001' },
    },
  ],
  summarize: ({ params }) => `updateInventoryItem ${params.itemId}`,

  async write(tx, { params, body }, context) {
    // One statement: who waits for another change of the same item goes on from what that has made.
    const [row] = await tx.query<ItemRow>(
      `UPDATE inventory_items SET name = coalesce($3, name), sku = coalesce($4, sku)
       WHERE company_id = $1 AND id = $2 RETURNING ${ITEM_COLUMNS}`,
      [context.companyId, params.itemId, body.name, body.sku],
    );
    if (row === undefined) {
      throw context.reject('inventory_item_not_found', `There is no item ${params.itemId}.`, '/itemId', 'path');
    }
    return { resourceId: row.id, body: toItem(row), auditMetadata: { changed: Object.keys(body) } };
  },
});
