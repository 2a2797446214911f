import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  creditedTax,
  divideHalfAway,
  formatPercent,
  lineGross,
  parsePercent,
  parseQuantity,
  shareOf,
  toWireAmount,
  toWireSum,
} from '../../activities/money.ts';

describe('money', () => {
  test('is rounded half away from zero', () => {
    const cases: readonly [bigint, bigint, bigint][] = [
      [1n, 2n, 1n],
      [-1n, 2n, -1n],
      [3n, 2n, 2n],
      [-3n, 2n, -2n],
      [49n, 100n, 0n],
      [-49n, 100n, 0n],
      [51n, 100n, 1n],
      [0n, 7n, 0n],
      [7n, 7n, 1n],
    ];
    for (const [numerator, denominator, rounded] of cases) expect(divideHalfAway(numerator, denominator)).toBe(rounded);
    expect(() => divideHalfAway(1n, 0n)).toThrow('Bug!');
  });

  test('is never more than half a unit away from the exact value, and mirrors below zero', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }),
        fc.bigInt({ min: 1n, max: 10n ** 9n }),
        (n, d) => {
          const away = 2n * (divideHalfAway(n, d) * d - n);
          expect(away <= d && away >= -d).toBe(true);
          expect(divideHalfAway(-n, d)).toBe(-divideHalfAway(n, d));
        },
      ),
    );
  });

  test('of a line is what the books say', () => {
    expect([lineGross('1.5', 333n), shareOf(500n, 8_250)]).toEqual([500n, 41n]);
    expect(lineGross('3', 1999n)).toBe(5997n);
    expect(lineGross('0.0001', 4999n)).toBe(0n);
    expect(lineGross('0.0001', 5000n)).toBe(1n);
    expect(lineGross('1000000000', 10_000_000_000_000n)).toBe(10n ** 22n);
  });

  test('a percentage is read to its last place and written in the shortest form, and nothing else is one', () => {
    for (const [text, thousandths, shortest] of [
      ['8.875', 8_875, '8.875'],
      ['9.975', 9_975, '9.975'],
      ['20', 20_000, '20'],
      ['8.250', 8_250, '8.25'],
      ['100.000', 100_000, '100'],
      ['10.5', 10_500, '10.5'],
      ['0.001', 1, '0.001'],
      ['0', 0, '0'],
    ] as const) {
      expect([parsePercent(text), formatPercent(thousandths)]).toEqual([thousandths, shortest]);
    }
    for (const text of ['', '-1', '1.0001', '.5', '1.', '1e1', '1000'])
      expect(() => parsePercent(text)).toThrow('Bug!');
  });

  test('of a share is half away from zero, on both sides of it', () => {
    // 400 × 8.875 % = 35.5, and 2000 × 9.975 % = 199.5.
    expect([shareOf(400n, 8_875), shareOf(-400n, 8_875), shareOf(399n, 8_875)]).toEqual([36n, -36n, 35n]);
    expect([shareOf(2_000n, 9_975), shareOf(-2_000n, 9_975), shareOf(1_999n, 9_975)]).toEqual([200n, -200n, 199n]);
    expect(shareOf(10n ** 13n, 100_000)).toBe(10n ** 13n);
  });

  test('a quantity is read to its last place, and nothing else is one', () => {
    expect(parseQuantity('12.3')).toBe(123_000n);
    expect(parseQuantity('0.0001')).toBe(1n);
    for (const text of ['', '1e3', '-1', '1.00001', '.5', '1.']) expect(() => parseQuantity(text)).toThrow('Bug!');
  });

  test('leaves as an exact number or not at all', () => {
    expect(toWireAmount(10_000_000_000_000n)).toBe(10_000_000_000_000);
    expect(toWireAmount(-9_007_199_254_740_991n)).toBe(Number.MIN_SAFE_INTEGER);
    expect(() => toWireAmount(9_007_199_254_740_992n)).toThrow('Bug!');
  });

  test('as a sum leaves as a number where that is exact, and else as digits', () => {
    expect([0n, -1n, 2n ** 53n - 1n, 1n - 2n ** 53n].map(toWireSum)).toEqual([
      0,
      -1,
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
    ]);
    expect([2n ** 53n, -(2n ** 53n), 10n ** 20n].map(toWireSum)).toEqual([
      '9007199254740992',
      '-9007199254740992',
      '100000000000000000000',
    ]);
  });

  test('of a line credited in small parts that all round up is never more tax than the line has', () => {
    // 2 × 1 / 4 is half a unit, and rounds up to 1 each time.
    const credited = (taxMinor: bigint) => creditedTax({ netMinor: 4n, taxMinor: 2n }, { netMinor: 3n, taxMinor }, 1n);
    expect([2n, 1n, 0n].map(credited)).toEqual([1n, 1n, 0n]);
  });

  test('of a line credited in parts: each has its share of the tax, the last one the rest, and all of them the whole', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 1n, max: 40n }),
        fc.bigInt({ min: 0n, max: 40n }),
        fc.array(fc.bigInt({ min: 1n, max: 10n }), { maxLength: 40 }),
        (netMinor, taxMinor, parts) => {
          const left = { netMinor, taxMinor };
          for (const part of parts.filter((minor) => minor < netMinor)) {
            if (part >= left.netMinor) break;
            const tax = creditedTax({ netMinor, taxMinor }, left, part);
            const share = divideHalfAway(taxMinor * part, netMinor);
            expect(tax).toBe(share > left.taxMinor ? left.taxMinor : share);
            left.netMinor -= part;
            left.taxMinor -= tax;
          }
          expect(creditedTax({ netMinor, taxMinor }, left, left.netMinor)).toBe(left.taxMinor);
        },
      ),
    );
  });
});
