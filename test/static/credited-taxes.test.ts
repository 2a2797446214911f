import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CreditableLine, creditedTaxes, toCreditableLines } from '../../activities/ledger/creditable-lines.ts';
import { invoiceAmounts } from '../../activities/ledger/invoice-amounts.ts';
import { creditedTax, TAX_ROUNDINGS, type TaxRounding } from '../../activities/money.ts';

/** Minor units, and the rate in percent. */
type Line = readonly [unitPrice: number, taxRate: string];

type Note = readonly (readonly [line: number, net: number])[];

function linesOf(lines: readonly Line[], rounding: TaxRounding = 'line'): CreditableLine[] {
  const priced = lines.map(([unitPrice, taxRate]) => ({ quantity: '1', unitPrice, taxRate }));
  const rows = invoiceAmounts(priced, rounding).map(({ netMinor, taxMinor, taxThousandths }, index) => ({
    line_number: index + 1,
    account: '4000',
    tax_rate_thousandths: taxThousandths,
    net_minor: netMinor,
    tax_minor: taxMinor,
    credited_net_minor: 0n,
    credited_tax_minor: 0n,
  }));
  return [...toCreditableLines(rows).values()];
}

/** The taxes of a note on lines of which what it credits is left, and then no more. */
function give(lines: readonly CreditableLine[], note: Note): bigint[] {
  const parts = note.map(([number, net]) => {
    const line = lines[number - 1];
    if (line === undefined) throw new Error(`There is no line ${number}`);
    return { line, netMinor: BigInt(net) };
  });
  const taxes = creditedTaxes(parts);
  for (const [index, { line, netMinor }] of parts.entries()) {
    for (const left of [line.left, line.leftAtRate]) {
      left.netMinor -= netMinor;
      left.taxMinor -= taxes[index] ?? 0n;
    }
  }
  return taxes;
}

const leftOf = ({ left, leftAtRate }: CreditableLine) =>
  left.netMinor < leftAtRate.netMinor ? left.netMinor : leftAtRate.netMinor;

/** Worked out with pencil and paper. */
describe('with a discount over the invoice', () => {
  const DISCOUNTED: readonly Line[] = [
    [100, '10'],
    [100, '0'],
    [-50, '10'],
  ];

  test('of a line is left what is left at its rate, and all of its tax is what was charged', () => {
    const lines = linesOf(DISCOUNTED);
    expect(lines.slice(0, 2).map(leftOf)).toEqual([50n, 100n]);
    expect(give(lines, [[1, 50]])).toEqual([5n]);
    expect(lines.slice(0, 2).map(leftOf)).toEqual([0n, 100n]);
    expect(give(lines, [[2, 100]])).toEqual([0n]);
  });

  test('several lines of a rate share what is left at it, and the last of them take the rest of the tax', () => {
    // 333.3, 333.3 and 333.4 are 333 each, less 100: 899 of tax on 9000.
    const lines = linesOf([3_333, 3_333, 3_334, -1_000].map((net) => [net, '10'] as const));
    expect(give(lines, [[1, 3_333]])).toEqual([333n]);
    expect(lines.slice(0, 3).map(leftOf)).toEqual([0n, 3_333n, 3_334n]);
    // 333 × 2333 / 3333 = 233.1 and 333 × 3333 / 3334 = 332.9, which are 566: all that is left.
    const last = give(lines, [
      [2, 2_333],
      [3, 3_334],
    ]);
    expect(last).toEqual([233n, 333n]);
    expect(lines[0]?.leftAtRate).toEqual({ netMinor: 0n, taxMinor: 0n });
  });

  test('the tax left at a rate limits a part, though its line has more', () => {
    // 5, less 5 times 1 (half a unit each, rounded up): 25 are left with no tax on them.
    const lines = linesOf([[50, '10'], ...Array.from({ length: 5 }, () => [-5, '10'] as const)]);
    expect(lines[0]?.leftAtRate).toEqual({ netMinor: 25n, taxMinor: 0n });
    expect(give(lines, [[1, 25]])).toEqual([0n]);
  });

  test('a line that is credited in full keeps the tax that is not left at its rate', () => {
    // 5 and 1, less 5: 1 of tax on 30, of which half the long line takes all.
    const lines = linesOf([[50, '10'], [5, '10'], ...Array.from({ length: 5 }, () => [-5, '10'] as const)]);
    expect(give(lines, [[1, 25]])).toEqual([1n]);
    expect(give(lines, [[2, 5]])).toEqual([0n]);
    expect(lines[1]?.left).toEqual({ netMinor: 0n, taxMinor: 1n });
  });

  test('the note that exhausts a rate takes more than the shares of its parts, up to the tax of their lines', () => {
    // 1, 1, 0 (4 at 10 %) and −0 (likewise): 2 of tax on 10.
    const lines = linesOf([5, 5, 4, -4].map((net) => [net, '10'] as const));
    expect(give(lines, [[3, 3]])).toEqual([0n]);
    // 1 × 2 / 5 is 0, and 1: one more is left, which line 1 has.
    const last = give(lines, [
      [1, 2],
      [2, 5],
    ]);
    expect(last).toEqual([1n, 1n]);
    // Where the lines of the note have none left themselves, it stays.
    const other = linesOf([5, 5, 4, -10].map((net) => [net, '10'] as const));
    expect(give(other, [[3, 4]])).toEqual([0n]);
    expect(other[0]?.leftAtRate).toEqual({ netMinor: 0n, taxMinor: 1n });
  });

  test('nothing is left at a rate at which more is taken off than there is', () => {
    const lines = linesOf([
      [300, '0'],
      [50, '20'],
      [-100, '20'],
    ]);
    expect(lines.slice(0, 2).map(leftOf)).toEqual([300n, 0n]);
    expect(lines[1]?.leftAtRate).toEqual({ netMinor: 0n, taxMinor: 0n });
  });

  test('nothing is left at a rate at which earlier releases credited more than it had', () => {
    const [line] = toCreditableLines([
      { ...rowOf(1, 100n, 10n), credited_net_minor: 80n, credited_tax_minor: 8n },
      rowOf(2, -50n, -5n),
    ]).values();
    expect(line).toMatchObject({ left: { netMinor: 20n, taxMinor: 2n }, leftAtRate: { netMinor: 0n, taxMinor: 0n } });
  });
});

function rowOf(number: number, net: bigint, tax: bigint) {
  const untouched = { credited_net_minor: 0n, credited_tax_minor: 0n };
  return {
    line_number: number,
    account: '4000',
    tax_rate_thousandths: 10_000,
    net_minor: net,
    tax_minor: tax,
    ...untouched,
  };
}

const rate = fc.constantFrom('10', '10', '8.875', '0', '100');
const lineOf = (min: number) => fc.tuple(fc.integer({ min, max: 400 }), rate);
const rounding = fc.constantFrom(...TAX_ROUNDINGS);
/** For each note which lines it takes parts of, in their order, and which share of what is left of each, in hundredths. */
const shares = fc.array(
  fc.uniqueArray(fc.tuple(fc.nat({ max: 4 }), fc.constantFrom(1, 20, 50, 100)), {
    minLength: 1,
    selector: ([line]) => line,
  }),
  { maxLength: 12 },
);

function drawNote(lines: readonly CreditableLine[], drawn: readonly (readonly [number, number])[]): Note {
  const taken = new Map<object, bigint>();
  return drawn
    .toSorted(([one], [other]) => one - other)
    .flatMap(([index, hundredths]) => {
      const line = lines[index];
      if (line === undefined) return [];
      const before = taken.get(line.leftAtRate) ?? 0n;
      const atRate = line.leftAtRate.netMinor - before;
      const left = line.left.netMinor < atRate ? line.left.netMinor : atRate;
      const net = (left * BigInt(hundredths) + 99n) / 100n;
      if (net <= 0n) return [];
      taken.set(line.leftAtRate, before + net);
      return [[index + 1, Number(net)] as const];
    });
}

describe('at random', () => {
  test('without a negative line, each part is limited by its line alone, and gets the tax that it always got', () => {
    const check = fc.property(
      fc.array(lineOf(0), { minLength: 1, maxLength: 5 }),
      rounding,
      shares,
      (drawn, way, notes) => {
        const lines = linesOf(drawn, way);
        const before = lines.map(({ netMinor, taxMinor }) => ({ netMinor, taxMinor, left: { netMinor, taxMinor } }));
        for (const of of notes) {
          for (const line of lines) expect(leftOf(line)).toBe(line.left.netMinor);
          const note = drawNote(lines, of);
          const asBefore = note.map(([number, net]) => {
            const line = before[number - 1];
            if (line === undefined) throw new Error('Not a line of the invoice');
            const tax = creditedTax(line, line.left, BigInt(net));
            line.left = { netMinor: line.left.netMinor - BigInt(net), taxMinor: line.left.taxMinor - tax };
            return tax;
          });
          expect(give(lines, note)).toEqual(asBefore);
        }
      },
    );
    fc.assert(check, { numRuns: 3_000 });
  });

  test('with negative lines, no more is credited of a line or at a rate than there is, and the last note takes the rest', () => {
    const check = fc.property(
      fc.array(lineOf(-200), { minLength: 1, maxLength: 5 }),
      rounding,
      shares,
      (drawn, way, notes) => {
        const lines = linesOf(drawn, way);
        for (const of of notes) {
          const note = drawNote(lines, of);
          const parts = note.flatMap(([number]) => lines[number - 1] ?? []);
          const taxes = give(lines, note);
          expect(taxes.every((tax) => tax >= 0n)).toBe(true);
          for (const { left, leftAtRate } of parts) {
            expect([left, leftAtRate].every(({ netMinor, taxMinor }) => netMinor >= 0n && taxMinor >= 0n)).toBe(true);
            // As the database demands it: the rest of a line's tax goes with the rest of its net, if there is so much.
            expect(left.netMinor > 0n || left.taxMinor === 0n || leftAtRate.taxMinor === 0n).toBe(true);
            // And what is left at a rate without any net, no line of the note had.
            expect(leftAtRate.netMinor > 0n || leftAtRate.taxMinor === 0n || left.taxMinor === 0n).toBe(true);
          }
        }
      },
    );
    fc.assert(check, { numRuns: 3_000 });
  });
});
