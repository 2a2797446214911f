import { formatAmount } from '../currencies.ts';
import { divideHalfAway } from '../money.ts';
import type { WriteContext } from '../operation.ts';
import { firstShortDayOfStock, type Stock } from './stock-by-day.ts';

/**
 * What a movement costs, in its direction: more at the unit cost or else the average, less at the average. The last unit
 * takes what is left. The average is that of now, whatever the date: what was posted before is never valued anew. Throws
 * `insufficient_stock` when more is taken than there is, or is worth, at the end of any day from `date` on, with the first.
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
  if (quantityDelta < 0n) return -costOfLess(-quantityDelta, stock, date, context);
  if (unitCost !== undefined) return quantityDelta * BigInt(unitCost);
  if (stock.quantity === 0n) {
    throw context.reject(
      'unit_cost_required',
      'There are no units in stock, so there is no average cost: send unitCost.',
      '/unitCost',
    );
  }
  return atAverage(quantityDelta, stock);
}

/** Of quantity and value, what is short first is named; both on the same day, the quantity. */
function costOfLess(
  units: bigint,
  stock: Stock & { readonly currency: string },
  date: string,
  context: WriteContext<'insufficient_stock'>,
): bigint {
  const tooFew = firstShortDayOfStock(stock, 'quantity', { date, taken: units });
  // Without units, there is no average.
  const cost = stock.quantity === 0n ? 0n : atAverage(units, stock);
  const tooLittle = firstShortDayOfStock(stock, 'value', { date, taken: cost });
  // Dates of the form YYYY-MM-DD compare correctly as text.
  if (tooFew !== undefined && (tooLittle === undefined || tooFew.day <= tooLittle.day)) {
    throw context.reject(
      'insufficient_stock',
      `There are ${tooFew.left} units in stock as of ${tooFew.day}.`,
      '/quantityDelta',
    );
  }
  if (tooLittle !== undefined) {
    const [left, taken] = [formatAmount(tooLittle.left, stock.currency), formatAmount(cost, stock.currency)];
    throw context.reject(
      'insufficient_stock',
      `The stock is worth ${left} as of ${tooLittle.day}; the units taken cost ${taken}.`,
      '/quantityDelta',
    );
  }
  return cost;
}

function atAverage(units: bigint, { quantity, value_minor: valueMinor }: Stock): bigint {
  return divideHalfAway(valueMinor * units, quantity);
}
