import fc from 'fast-check';
import { expect, test } from 'vitest';
import { taxShare } from '../../activities/ledger/tax-share.ts';
import { inForm } from '../support/form.ts';

/** Of a tax and the rest of the total; the tax may be negative, where lines take off from others. */
const invoice = fc
  .tuple(fc.bigInt(-(10n ** 13n), 10n ** 13n), fc.bigInt(1n, 10n ** 13n))
  .map(([tax, total]) => ({ tax: tax > total ? total : tax, total }));
/** Write-offs, each a part of what is left in thousandths, and recoveries of the latest. */
const steps = fc.array(fc.oneof(fc.constant('recover' as const), fc.nat(1_000)), { minLength: 1, maxLength: 12 });
const RUNS = { numRuns: inForm({ short: 2_000, long: 200_000 }) };

/** The multiple of `step` next to `value`, the one further away from zero where two are: found, and not computed. */
function nearest(numerator: bigint, denominator: bigint): bigint {
  const down = numerator / denominator;
  const distance = (whole: bigint) => {
    const left = numerator - whole * denominator;
    return left < 0n ? -left : left;
  };
  return [down - 1n, down, down + 1n].reduce((best, whole) => {
    const closer = distance(whole) < distance(best);
    const further = (whole < 0n ? -whole : whole) > (best < 0n ? -best : best);
    return closer || (distance(whole) === distance(best) && further) ? whole : best;
  });
}

test('the example of 541 with a tax of 41: each write-off takes its share of all that is written off, less those before', () => {
  let beforeMinor = 0n;
  const shares = [200n, 100n, 241n].map((amountMinor) => {
    const share = taxShare({ totalMinor: 541n, taxMinor: 41n, beforeMinor, amountMinor });
    beforeMinor += amountMinor;
    return share;
  });
  // 41 × 200 / 541 = 15.16, × 300 = 22.74, × 541 = 41.
  expect(shares).toEqual([15n, 8n, 18n]);
});

test('a half is rounded away from zero, on both sides of it', () => {
  const half = { totalMinor: 4n, beforeMinor: 0n, amountMinor: 2n };
  expect([taxShare({ ...half, taxMinor: 1n }), taxShare({ ...half, taxMinor: -1n })]).toEqual([1n, -1n]);
  expect(taxShare({ ...half, taxMinor: 1n, beforeMinor: 2n })).toBe(0n);
});

test('whatever is written off and recovered, those that stand have together what their sum has of the tax, rounded once', () => {
  fc.assert(
    fc.property(invoice, steps, ({ tax, total }, sequence) => {
      const standing: { amount: bigint; share: bigint }[] = [];
      const sum = (of: 'amount' | 'share') => standing.reduce((all, one) => all + one[of], 0n);
      for (const step of sequence) {
        if (step === 'recover') standing.pop();
        else {
          const left = total - sum('amount');
          const amount = (left * BigInt(step)) / 1_000n;
          if (amount === 0n) continue;
          const share = taxShare({ totalMinor: total, taxMinor: tax, beforeMinor: sum('amount'), amountMinor: amount });
          standing.push({ amount, share });
        }
        expect(sum('share')).toBe(nearest(tax * sum('amount'), total));
      }
    }),
    RUNS,
  );
});

test('of a tax that is part of the total, a share is never more than the amount nor less than nothing', () => {
  fc.assert(
    fc.property(invoice, fc.bigInt(0n, 10n ** 13n), fc.bigInt(1n, 10n ** 13n), ({ tax, total }, first, second) => {
      fc.pre(tax >= 0n && first < total);
      const amountMinor = second <= total - first ? second : total - first;
      const share = taxShare({ totalMinor: total, taxMinor: tax, beforeMinor: first, amountMinor });
      expect(share >= 0n && share <= amountMinor).toBe(true);
    }),
    RUNS,
  );
});
