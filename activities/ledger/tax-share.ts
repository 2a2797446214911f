import { divideHalfAway } from '../money.ts';

/** What a write-off takes of an invoice, and what was written off and not recovered before it. */
type WriteOff = {
  readonly totalMinor: bigint;
  readonly taxMinor: bigint;
  readonly beforeMinor: bigint;
  readonly amountMinor: bigint;
};

/**
 * The share of a write-off in the tax of its invoice: half away(tax × all written off, this one included / total) less the shares
 * before. Write-offs are recovered from the last to the first, so what was recovered counts no more, neither in what is
 * written off nor in the shares: those that are left have half away(tax × their sum / total) together.
 */
export function taxShare({ totalMinor, taxMinor, beforeMinor, amountMinor }: WriteOff): bigint {
  const sharesOf = (sumMinor: bigint) => divideHalfAway(taxMinor * sumMinor, totalMinor);
  return sharesOf(beforeMinor + amountMinor) - sharesOf(beforeMinor);
}
