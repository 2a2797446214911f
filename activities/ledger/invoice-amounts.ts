import { divideHalfAway, lineGross, PERCENT_SCALE, parsePercent, shareOf, type TaxRounding } from '../money.ts';

/** A discount on one line: a share of its gross in percent, or minor units; exactly one of the two. */
type Discount = { readonly percent?: string | undefined; readonly amount?: number | undefined };

/** What the amounts of a line follow from, as the request has it. */
export type PricedLine = {
  readonly quantity: string;
  /** Minor units; negative for a discount over the whole invoice. */
  readonly unitPrice: number;
  readonly discount?: Discount | undefined;
  /** In percent; instead of the other. */
  readonly taxRate?: string | undefined;
  readonly taxRateBasisPoints?: number | undefined;
};

/** Net = gross − discount. Amounts are in minor units, rates in thousandths of a percent. */
export type LineAmounts = {
  readonly grossMinor: bigint;
  readonly discountMinor: bigint;
  readonly netMinor: bigint;
  readonly taxMinor: bigint;
  readonly taxThousandths: number;
  /** Null unless the discount is given in percent. */
  readonly discountThousandths: number | null;
};

/** The amounts of all lines of an invoice, in their order. Every rounding of an invoice is here. */
export function invoiceAmounts<L extends PricedLine>(
  lines: readonly L[],
  rounding: TaxRounding,
): readonly (L & LineAmounts)[] {
  const nets = lines.map((line) => ({ ...line, ...netOf(line), taxThousandths: taxThousandthsOf(line) }));
  const taxes =
    rounding === 'line'
      ? nets.map(({ netMinor, taxThousandths }) => shareOf(netMinor, taxThousandths))
      : taxPerRate(nets);
  return nets.map((line, index) => ({ ...line, taxMinor: taxes[index] ?? 0n }));
}

/** Half away from zero(quantity × unit price) less the discount. */
function netOf({ quantity, unitPrice, discount }: PricedLine) {
  const grossMinor = lineGross(quantity, BigInt(unitPrice));
  const discountThousandths = discount?.percent === undefined ? null : parsePercent(discount.percent);
  const discountMinor =
    discountThousandths === null ? BigInt(discount?.amount ?? 0) : shareOf(grossMinor, discountThousandths);
  return { grossMinor, discountThousandths, discountMinor, netMinor: grossMinor - discountMinor };
}

const THOUSANDTHS_PER_BASIS_POINT = 10;

function taxThousandthsOf({ taxRate, taxRateBasisPoints = 0 }: PricedLine): number {
  return taxRate === undefined ? taxRateBasisPoints * THOUSANDTHS_PER_BASIS_POINT : parsePercent(taxRate);
}

/** The tax of each line, rounded once for all lines that have the same rate. */
function taxPerRate(lines: readonly { readonly netMinor: bigint; readonly taxThousandths: number }[]): bigint[] {
  const taxes = lines.map(() => 0n);
  for (const rate of new Set(lines.map(({ taxThousandths }) => taxThousandths))) {
    const ofRate = [...lines.entries()].filter(([, { taxThousandths }]) => taxThousandths === rate);
    const spread = spreadTax(
      ofRate.map(([, { netMinor }]) => netMinor),
      rate,
    );
    for (const [position, [index]] of ofRate.entries()) taxes[index] = spread[position] ?? 0n;
  }
  return taxes;
}

/**
 * Half away from zero(Σ net × rate), spread by largest remainder: each line gets its exact share rounded down, and what is left
 * goes in single units to the lines whose remainders are largest, of equal ones to those that come first. A line is therefore
 * less than one unit away from its exact share, also where some nets are negative: down is towards minus infinity.
 */
export function spreadTax(netsMinor: readonly bigint[], rateThousandths: number): bigint[] {
  const shares = netsMinor.map((netMinor, index) => {
    const exact = netMinor * BigInt(rateThousandths);
    const remainder = ((exact % PERCENT_SCALE) + PERCENT_SCALE) % PERCENT_SCALE;
    return { index, exact, remainder, down: (exact - remainder) / PERCENT_SCALE };
  });
  const total = divideHalfAway(
    shares.reduce((sum, { exact }) => sum + exact, 0n),
    PERCENT_SCALE,
  );
  const left = total - shares.reduce((sum, { down }) => sum + down, 0n);
  // Sorting is stable: of equal remainders, the first comes first.
  const byRemainder = shares.toSorted((one, other) => Number(other.remainder - one.remainder));
  const taxes = shares.map(({ down }) => down);
  for (const { index, down } of byRemainder.slice(0, Number(left))) taxes[index] = down + 1n;
  return taxes;
}
