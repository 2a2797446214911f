import { divideHalfAway } from '../money.ts';
import { Rejection } from '../operation.ts';

/** Whole units and their total cost. The average cost is the quotient, which is never stored rounded. */
export type Stock = { readonly quantity: bigint; readonly value_minor: bigint };

/**
 * The signed cost of a movement. Added units cost `unitCost`, or the average without it; removed units cost the average, and
 * the last unit takes all that is left. Throws the rejections `insufficient_stock` and `unit_cost_required`.
 */
export function costOf(quantityDelta: bigint, stock: Stock, unitCost: number | undefined): bigint {
  if (quantityDelta < 0n && stock.quantity + quantityDelta < 0n) {
    throw new Rejection('insufficient_stock', `There are ${stock.quantity} units in stock.`, '/quantityDelta');
  }
  if (unitCost !== undefined) return quantityDelta * BigInt(unitCost);
  if (stock.quantity === 0n) {
    throw new Rejection(
      'unit_cost_required',
      'There are no units in stock and so no average cost: give unitCost.',
      '/unitCost',
    );
  }
  return divideHalfAway(stock.value_minor * quantityDelta, stock.quantity);
}
