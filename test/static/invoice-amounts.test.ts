import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { invoiceAmounts, type PricedLine, spreadTax } from '../../activities/ledger/invoice-amounts.ts';
import { divideHalfAway } from '../../activities/money.ts';

/** Worked out with pencil and paper. */
describe('the amounts of a line', () => {
  type Case = Omit<PricedLine, 'quantity'> & { quantity?: string; amounts: readonly [number, number, number, number] };
  test.each<Case>([
    // 1999 × 8.875 % = 177.41125; 400 × 8.875 % = 35.5.
    { unitPrice: 1_999, taxRate: '8.875', amounts: [1_999, 0, 1_999, 177] },
    { unitPrice: 400, taxRate: '8.875', amounts: [400, 0, 400, 36] },
    // 3998 × 9.975 % = 398.8005; 2000 × 9.975 % = 199.5.
    { quantity: '2', unitPrice: 1_999, taxRate: '9.975', amounts: [3_998, 0, 3_998, 399] },
    { unitPrice: 2_000, taxRate: '9.975', amounts: [2_000, 0, 2_000, 200] },
    // The same rate in both forms; none is 0.
    { unitPrice: 500, taxRate: '8.25', amounts: [500, 0, 500, 41] },
    { unitPrice: 500, taxRateBasisPoints: 825, amounts: [500, 0, 500, 41] },
    { unitPrice: 500, amounts: [500, 0, 500, 0] },
    // 114 000 × 12.5 % = 14 250; 99 750 × 8.875 % = 8852.8125.
    {
      quantity: '12',
      unitPrice: 9_500,
      discount: { percent: '12.5' },
      taxRate: '8.875',
      amounts: [114_000, 14_250, 99_750, 8_853],
    },
    // 499.5 → 500 before the discount of 33.333 % = 166.665 → 167; 333 × 9.975 % = 33.21675.
    {
      quantity: '1.5',
      unitPrice: 333,
      discount: { percent: '33.333' },
      taxRate: '9.975',
      amounts: [500, 167, 333, 33],
    },
    // 10 × 5 % = 0.5, away from zero: the net is 9, and not 9.5.
    { unitPrice: 10, discount: { percent: '5' }, amounts: [10, 1, 9, 0] },
    { unitPrice: 10, discount: { percent: '100' }, taxRate: '20', amounts: [10, 10, 0, 0] },
    { unitPrice: 1_000, discount: { amount: 1 }, taxRate: '20', amounts: [1_000, 1, 999, 200] },
    // −5000 × 8.875 % = −443.75; −1.5 × 333 = −499.5.
    { unitPrice: -5_000, taxRate: '8.875', amounts: [-5_000, 0, -5_000, -444] },
    { quantity: '1.5', unitPrice: -333, amounts: [-500, 0, -500, 0] },
  ])('of $unitPrice: gross, discount, net, tax $amounts', ({ quantity = '1', amounts, ...line }) => {
    const [priced] = invoiceAmounts([{ quantity, ...line }], 'line');
    const { grossMinor, discountMinor, netMinor, taxMinor } = priced ?? {};
    expect([grossMinor, discountMinor, netMinor, taxMinor].map(Number)).toEqual(amounts);
    // Of a single line, both ways of rounding are one.
    expect(invoiceAmounts([{ quantity, ...line }], 'document')).toEqual([priced]);
  });
});

/** Net and rate in percent of each line → its tax by line, and by document. */
describe('the tax of an invoice', () => {
  type Line = readonly [net: number, rate: string, byLine: number, byDocument: number];
  test.each<{ why: string; lines: readonly Line[] }>([
    {
      why: '24.75 is 25: of equal remainders, the first gets the unit',
      lines: [
        [100, '8.25', 8, 9],
        [100, '8.25', 8, 8],
        [100, '8.25', 8, 8],
      ],
    },
    {
      why: '1.5 is 2, where each 0.5 alone would be 1',
      lines: [
        [10, '5', 1, 1],
        [10, '5', 1, 1],
        [10, '5', 1, 0],
      ],
    },
    {
      why: '29.55375 twice and 29.6425 are 88.75: the largest remainder first, then the first of the others',
      lines: [
        [333, '8.875', 30, 30],
        [333, '8.875', 30, 29],
        [334, '8.875', 30, 30],
      ],
    },
    {
      why: 'four times 0.399 are 1.596',
      lines: [
        [4, '9.975', 0, 1],
        [4, '9.975', 0, 1],
        [4, '9.975', 0, 0],
        [4, '9.975', 0, 0],
      ],
    },
    {
      why: 'each rate alone: 16.5 are 17, and 8.875 are 9; in both of its forms it is one rate',
      lines: [
        [100, '8.250', 8, 9],
        [100, '8.875', 9, 9],
        [100, '8.25', 8, 8],
      ],
    },
    {
      why: 'with a discount over the invoice: 88.75 × 2 − 17.75 = 159.75, and −17.75 lies between −18 and −17',
      lines: [
        [1_000, '8.875', 89, 89],
        [1_000, '8.875', 89, 89],
        [-200, '8.875', -18, -18],
      ],
    },
    {
      why: '0.5 and −0.5 are nothing',
      lines: [
        [-50, '1', -1, 0],
        [50, '1', 1, 0],
      ],
    },
    { why: '−0.5 alone is −1', lines: [[-50, '1', -1, -1]] },
  ])('$why', ({ lines }) => {
    const asked = lines.map(([unitPrice, taxRate]) => ({ quantity: '1', unitPrice, taxRate }));
    const taxes = (rounding: 'line' | 'document') =>
      invoiceAmounts(asked, rounding).map(({ taxMinor }) => Number(taxMinor));
    expect(taxes('line')).toEqual(lines.map(([, , byLine]) => byLine));
    expect(taxes('document')).toEqual(lines.map(([, , , byDocument]) => byDocument));
  });
});

describe('a tax that is spread', () => {
  const net = fc.oneof(
    fc.bigInt({ min: -300n, max: 300n }),
    fc.bigInt({ min: -(10n ** 13n), max: 10n ** 13n }),
    // So that remainders are equal.
    fc.constantFrom(100n, -100n, 4n),
  );
  const rate = fc.oneof(fc.integer({ min: 0, max: 100_000 }), fc.constantFrom(8_875, 9_975, 8_250, 1, 100_000));
  const WHOLE = 100_000n;

  test('sums to the rounded total, each part less than a unit from its share, units by remainder and then by number', () => {
    fc.assert(
      fc.property(fc.array(net, { minLength: 1, maxLength: 200 }), rate, (nets, thousandths) => {
        const taxes = spreadTax(nets, thousandths);
        const exact = nets.map((one) => one * BigInt(thousandths));
        const sum = (values: readonly bigint[]) => values.reduce((total, one) => total + one, 0n);
        expect(sum(taxes)).toBe(divideHalfAway(sum(exact), WHOLE));
        /** By how much the line got more than its share, in hundred-thousandths of a unit. */
        const over = taxes.map((tax, index) => tax * WHOLE - (exact[index] ?? 0n));
        expect(over.every((one) => one > -WHOLE && one < WHOLE)).toBe(true);
        // Those that got a unit, from the largest remainder on; then those that did not.
        const remainder = over.map((one) => (one > 0n ? WHOLE - one : -one));
        const order = [...nets.keys()].filter((index) => remainder[index] !== 0n);
        order.sort((one, other) => Number((remainder[other] ?? 0n) - (remainder[one] ?? 0n)) || one - other);
        const got = order.map((index) => (over[index] ?? 0n) > 0n);
        expect(got).toEqual(got.toSorted((one, other) => Number(other) - Number(one)));
      }),
      { numRuns: 2_000 },
    );
  });
});
