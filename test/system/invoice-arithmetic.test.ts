import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { invoiceAmounts } from '../../activities/ledger/invoice-amounts.ts';
import { divideHalfAway, parseQuantity } from '../../activities/money.ts';
import { readEntry } from '../support/books.ts';
import { type System, startSystem } from '../support/system.ts';

/** Worked out with pencil and paper. */
describe('rounding is half away from zero', () => {
  test.each([
    [0n, 3n, 0n],
    [1n, 2n, 1n],
    [-1n, 2n, -1n],
    [1n, 3n, 0n],
    [2n, 3n, 1n],
    [-2n, 3n, -1n],
    [5n, 2n, 3n],
    [-5n, 2n, -3n],
    [7n, 5n, 1n],
    [8n, 5n, 2n],
    [49_999n, 10_000n, 5n],
    [44_999n, 10_000n, 4n],
    [45_000n, 10_000n, 5n],
  ])('%d / %d is %d', (numerator, denominator, expected) => {
    expect(divideHalfAway(numerator, denominator)).toBe(expected);
  });

  test.each([
    { quantity: '1.5', unitPrice: 333n, rate: 825, net: 500n, tax: 41n },
    { quantity: '3', unitPrice: 1999n, rate: 0, net: 5997n, tax: 0n },
    { quantity: '0.5', unitPrice: 1n, rate: 10_000, net: 1n, tax: 1n },
    { quantity: '0.4999', unitPrice: 1n, rate: 10_000, net: 0n, tax: 0n },
    { quantity: '0.0001', unitPrice: 5_000n, rate: 5_000, net: 1n, tax: 1n },
    { quantity: '2.5', unitPrice: 1n, rate: 2_500, net: 3n, tax: 1n },
    { quantity: '1', unitPrice: 200n, rate: 25, net: 200n, tax: 1n },
    { quantity: '1', unitPrice: 199n, rate: 25, net: 199n, tax: 0n },
    { quantity: '33.3333', unitPrice: 3n, rate: 1_900, net: 100n, tax: 19n },
    { quantity: '999999999.9999', unitPrice: 10_000n, rate: 1, net: 9_999_999_999_999n, tax: 1_000_000_000n },
  ])(
    '$quantity × $unitPrice is $net, and $rate basis points of it are $tax',
    ({ quantity, unitPrice, rate, net, tax }) => {
      expect(amountsOf(quantity, unitPrice, rate)).toMatchObject({ netMinor: net, taxMinor: tax });
    },
  );
});

function amountsOf(quantity: string, unitPrice: bigint, taxRateBasisPoints: number) {
  return invoiceAmounts([{ quantity, unitPrice: Number(unitPrice), taxRateBasisPoints }], 'line')[0];
}

/** Quotient and remainder, as a child learns it: another way than the one under test. */
function roundedQuotient(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  return 2n * (numerator - quotient * denominator) >= denominator ? quotient + 1n : quotient;
}

const decimal = fc
  .record({ whole: fc.bigInt(0n, 999_999_999n), places: fc.integer({ min: 0, max: 4 }), digits: fc.bigInt(0n, 9_999n) })
  .filter(({ whole, places, digits }) => whole > 0n || digits % 10n ** BigInt(places) > 0n)
  .map(({ whole, places, digits }) => {
    const scale = 10n ** BigInt(places);
    const fraction = digits % scale;
    const text = places === 0 ? `${whole}` : `${whole}.${fraction.toString().padStart(places, '0')}`;
    return { text, numerator: whole * scale + fraction, scale };
  });
const price = fc.oneof(fc.bigInt(0n, 10_000n), fc.bigInt(0n, 10_000_000_000_000n));
const rate = fc.integer({ min: 0, max: 10_000 });

describe('arithmetic agrees with exact fractions', () => {
  test('a quantity is its digits, whatever zeros follow', () => {
    fc.assert(
      fc.property(decimal, ({ text, numerator, scale }) => {
        expect(parseQuantity(text) * scale).toBe(numerator * 10_000n);
      }),
      { numRuns: 1_000 },
    );
  });

  test('net and tax of a line', () => {
    fc.assert(
      fc.property(decimal, price, rate, ({ text, numerator, scale }, unitPrice, basisPoints) => {
        const net = roundedQuotient(numerator * unitPrice, scale);
        expect(amountsOf(text, unitPrice, basisPoints)).toMatchObject({
          netMinor: net,
          taxMinor: roundedQuotient(net * BigInt(basisPoints), 10_000n),
        });
      }),
      { numRuns: 5_000 },
    );
  });

  test('what is below zero is the mirror of what is above', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 24n), fc.bigInt(1n, 10n ** 12n), (numerator, denominator) => {
        expect(divideHalfAway(-numerator, denominator)).toBe(-divideHalfAway(numerator, denominator));
        expect(divideHalfAway(numerator, denominator)).toBe(roundedQuotient(numerator, denominator));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('an invoice through the API', () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem();
  });
  afterAll(() => system.stop());

  test('has the totals of exact fractions, and its entry has them too', async () => {
    const company = await system.company();
    const customerId = await company.customer();
    const lines = fc.array(
      fc.record({ quantity: decimal, unitPrice: fc.bigInt(0n, 9_000n), taxRateBasisPoints: rate }),
      { minLength: 1, maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(lines, async (drawn) => {
        const expected = drawn.map(({ quantity, unitPrice, taxRateBasisPoints }) => {
          const net = roundedQuotient(quantity.numerator * unitPrice, quantity.scale);
          return { net, tax: roundedQuotient(net * BigInt(taxRateBasisPoints), 10_000n) };
        });
        const subtotal = Number(expected.reduce((sum, { net }) => sum + net, 0n));
        const tax = Number(expected.reduce((sum, line) => sum + line.tax, 0n));
        fc.pre(subtotal + tax >= 1 && subtotal + tax <= 10_000_000_000_000);

        const draft = await company.api.created('/api/invoices', {
          customerId,
          currency: 'USD',
          issueDate: '2026-01-15',
          dueDate: '2026-12-31',
          lines: drawn.map(({ quantity, unitPrice, taxRateBasisPoints }) => ({
            description: 'Work',
            quantity: quantity.text,
            unitPrice: Number(unitPrice),
            taxRateBasisPoints,
          })),
        });
        expect(draft).toMatchObject({ subtotal, tax, total: subtotal + tax, amountDue: subtotal + tax });
        expect(draft.lines).toMatchObject(expected.map(({ net, tax }) => ({ net: Number(net), tax: Number(tax) })));

        const { journalEntryId } = await company.api.created(`/api/invoices/${draft.id}/finalize`, {});
        expect((await readEntry(system.owner, company.id, journalEntryId)).lines).toEqual(
          [
            ['1100', subtotal + tax, 'USD'],
            ['4000', -subtotal, 'USD'],
            ['2100', -tax, 'USD'],
          ].filter(([, amount]) => amount !== 0),
        );
      }),
      { numRuns: 25 },
    );
  });
});
