import { z } from 'zod';
import { toWireAmount } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { currencyCode, instant, money, resourceId } from './members.ts';

/** The item as the API shows it, and the columns that it is made of. */
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
    // A unit is worth 1 at least, so there are no more units than the value's limit.
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
  value: money().meta({ description: 'What the units in stock have cost in all, in minor units' }),
  createdAt: instant(),
});

export const inventoryItemResource: ResourceType = {
  type: 'inventoryItem',
  reads: '/api/inventory/items',
  schema: itemSchema,
};
