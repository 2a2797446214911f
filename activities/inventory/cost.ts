import { formatAmount } from '../currencies.ts';
import { divideHalfAway } from '../money.ts';
import type { WriteContext } from '../operation.ts';
import { firstShortDayOfStock, type Stock } from './stock-by-day.ts';

/**
 * What a movement costs, in its direction: more at the unit cost or else the average, less at the average. The last unit
 * takes what is left. The average is that of now, whatever the date: what was posted before is never valued anew. Throws
 * `insufficient_stock` when less is taken than there is, or is worth, at the end of any day from `date` on.
 */
export function costOf(
  {
    quantityDelta,
    stock,
    unitCost,
    date,
  }: {
    readonly quantityDelta: bigint;
    readonly stock: Stock & { readonly currency: string };
    readonly unitCost: number | undefined;
    readonly date: string;
  },
  context: WriteContext<'insufficient_stock' | 'unit_cost_required'>,
): bigint {
  if (quantityDelta < 0n) {
    const short = firstShortDayOfStock(stock, 'quantity', { date, taken: -quantityDelta });
    if (short !== undefined) {
      throw context.reject(
        'insufficient_stock',
        `There are ${short.left} units in stock as of ${short.day}.`,
        '/quantityDelta',
      );
    }
  }
  if (unitCost !== undefined) return quantityDelta * BigInt(unitCost);
  if (stock.quantity === 0n) {
    throw context.reject(
      'unit_cost_required',
      'There are no units in stock, so there is no average cost: send unitCost.',
      '/unitCost',
    );
  }
  const costMinor = divideHalfAway(stock.value_minor * quantityDelta, stock.quantity);
  if (quantityDelta < 0n) {
    const short = firstShortDayOfStock(stock, 'value', { date, taken: -costMinor });
    if (short !== undefined) {
      const [left, taken] = [formatAmount(short.left, stock.currency), formatAmount(-costMinor, stock.currency)];
      throw context.reject(
        'insufficient_stock',
        `The stock is worth ${left} as of ${short.day}; the units taken cost ${taken}.`,
        '/quantityDelta',
      );
    }
  }
  return costMinor;
}
