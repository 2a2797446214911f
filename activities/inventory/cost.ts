import { divideHalfAway } from '../money.ts';
import type { WriteContext } from '../operation.ts';

/** Whole units and their total cost. The average cost is the quotient, which is never stored rounded. */
export type Stock = { readonly quantity: bigint; readonly value_minor: bigint };

/**
 * What a movement costs, in its direction: more at the unit cost or else the average, less at the average. The last unit
 * takes what is left.
 */
export function costOf(
  {
    quantityDelta,
    stock,
    unitCost,
  }: { readonly quantityDelta: bigint; readonly stock: Stock; readonly unitCost: number | undefined },
  context: WriteContext<'insufficient_stock' | 'unit_cost_required'>,
): bigint {
  if (quantityDelta < 0n && stock.quantity + quantityDelta < 0n) {
    throw context.reject('insufficient_stock', `There are ${stock.quantity} units in stock.`, '/quantityDelta');
  }
  if (unitCost !== undefined) return quantityDelta * BigInt(unitCost);
  if (stock.quantity === 0n) {
    throw context.reject(
      'unit_cost_required',
      'There are no units in stock, so there is no average cost: send unitCost.',
      '/unitCost',
    );
  }
  return divideHalfAway(stock.value_minor * quantityDelta, stock.quantity);
}
