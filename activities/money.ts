/**
 * Amounts are integers in minor units: `bigint` in code, an integral JSON number in the API. Never a float.
 * All rounding is half away from zero.
 */

/** 10^13 minor units: the largest amount that a request may carry. */
export const MAX_AMOUNT = 10_000_000_000_000;
export const MAX_AMOUNT_MINOR = BigInt(MAX_AMOUNT);

/** `numerator / denominator`, rounded half away from zero. */
export function divideHalfAway(numerator: bigint, denominator: bigint): bigint {
  if (denominator <= 0n) throw new Error('Bug! A denominator must be positive');
  const magnitude = numerator < 0n ? -numerator : numerator;
  const rounded = (2n * magnitude + denominator) / (2n * denominator);
  return numerator < 0n ? -rounded : rounded;
}

const QUANTITY_SCALE = 10_000n;

/** Parses a decimal string with at most four places, such as `"1.5"`, into ten-thousandths. */
export function parseQuantity(quantity: string): bigint {
  const match = /^(\d{1,10})(?:\.(\d{1,4}))?$/.exec(quantity);
  if (match === null) throw new Error(`Bug! Not a validated quantity: ${quantity}`);
  return BigInt(match[1] ?? '') * QUANTITY_SCALE + BigInt((match[2] ?? '').padEnd(4, '0'));
}

/** Gross of an invoice line, before any discount: quantity × unit price. */
export function lineGross(quantity: string, unitPriceMinor: bigint): bigint {
  return divideHalfAway(parseQuantity(quantity) * unitPriceMinor, QUANTITY_SCALE);
}

/** Thousandths of a percent in one: 100 % are 100,000 of them. */
export const PERCENT_SCALE = 100_000n;

/** How a company rounds tax: on each line, or once per rate over the invoice. */
export const TAX_ROUNDINGS = ['line', 'document'] as const;
export type TaxRounding = (typeof TAX_ROUNDINGS)[number];

/** A share of an amount, in thousandths of a percent. */
export function shareOf(amountMinor: bigint, thousandths: number): bigint {
  return divideHalfAway(amountMinor * BigInt(thousandths), PERCENT_SCALE);
}

/** Parses a decimal string in percent with at most three places, such as `"8.875"`, into thousandths of a percent. */
export function parsePercent(percent: string): number {
  const match = /^(\d{1,3})(?:\.(\d{1,3}))?$/.exec(percent);
  if (match === null) throw new Error(`Bug! Not a validated percentage: ${percent}`);
  return Number(match[1]) * 1_000 + Number((match[2] ?? '').padEnd(3, '0'));
}

/** The shortest decimal string in percent: 8,875 thousandths are `"8.875"`, and 20,000 are `"20"`. */
export function formatPercent(thousandths: number): string {
  const places = String(thousandths % 1_000).padStart(3, '0');
  return `${Math.trunc(thousandths / 1_000)}.${places}`.replace(/\.?0+$/, '');
}

/** An amount as a JSON number. Throws when a JSON number cannot represent it exactly. */
export function toWireAmount(amountMinor: bigint): number {
  const amount = Number(amountMinor);
  if (!Number.isSafeInteger(amount)) throw new Error('Bug! The amount is not a safe integer');
  return amount;
}

/** A sum of amounts in the API: a JSON number, or a string of digits where a JSON number might not be exact. */
export type WireSum = number | string;

/**
 * A sum of amounts for an answer. A JSON number up to ±(2^53 − 1), beyond that a string of digits such as
 * `"-9007199254740992"`: sums have no limit, and most JSON parsers would round the number.
 */
export function toWireSum(sumMinor: bigint): WireSum {
  const sum = Number(sumMinor);
  return Number.isSafeInteger(sum) ? sum : sumMinor.toString();
}

/**
 * The tax on a credited part of an invoice line: the line's tax in proportion, rounded, but never more than is left of it,
 * since many small parts can all round up. The part that exhausts the line takes all the tax that is left.
 */
export function creditedTax(
  line: { readonly netMinor: bigint; readonly taxMinor: bigint },
  left: { readonly netMinor: bigint; readonly taxMinor: bigint },
  creditedNetMinor: bigint,
): bigint {
  if (creditedNetMinor === left.netMinor) return left.taxMinor;
  const share = divideHalfAway(line.taxMinor * creditedNetMinor, line.netMinor);
  return share < left.taxMinor ? share : left.taxMinor;
}
