import { z } from 'zod';
import { toWireAmount } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { currencyCode, instant, money, resourceId } from './members.ts';

/** The API's form of an inventory item and its columns. */
export const ITEM_COLUMNS = 'id, sku, name, currency, quantity, value_minor, created_at';

export type ItemRow = {
  id: string;
  sku: string;
  name: string;
  currency: string;
  quantity: bigint;
  value_minor: bigint;
  created_at: string;
};

export function toItem(row: ItemRow): z.output<typeof itemSchema> {
  return {
    id: row.id,
    sku: row.sku,
    name: row.name,
    currency: row.currency,
    // A unit costs at least 1, so the limit of the value bounds the quantity.
    quantity: Number(row.quantity),
    value: toWireAmount(row.value_minor),
    createdAt: row.created_at,
  };
}

export const itemSchema = z.object({
  id: resourceId(),
  sku: z.string(),
  name: z.string(),
  currency: currencyCode(),
  quantity: z.int().min(0).meta({ description: 'Whole units' }),
  value: money().meta({ description: 'The total cost of the units in stock, in minor units' }),
  createdAt: instant(),
});

export const inventoryItemResource: ResourceType = {
  type: 'inventoryItem',
  reads: '/api/inventory/items',
  schema: itemSchema,
};
