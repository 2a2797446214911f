import { divideHalfAway } from '../money.ts';
import { Rejection } from '../operation.ts';

/** Whole units, and what they have cost in all: the average is the quotient and never rounded. */
export type Stock = { readonly quantity: bigint; readonly value_minor: bigint };

/**
 * What a movement costs, in its direction: more at the unit cost or else the average, less at the average. The last unit
 * takes what is left. Throws `insufficient_stock` and `unit_cost_required`.
 */
export function costOf(quantityDelta: bigint, stock: Stock, unitCost: number | undefined): bigint {
  if (quantityDelta < 0n && stock.quantity + quantityDelta < 0n) {
    throw new Rejection('insufficient_stock', `There are ${stock.quantity} units in stock.`, '/quantityDelta');
  }
  if (unitCost !== undefined) return quantityDelta * BigInt(unitCost);
  if (stock.quantity === 0n) {
    throw new Rejection('unit_cost_required', 'Without units in stock there is no average: say the cost.', '/unitCost');
  }
  return divideHalfAway(stock.value_minor * quantityDelta, stock.quantity);
}
