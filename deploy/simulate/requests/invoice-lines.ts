import { MAX_AMOUNT_MINOR } from '../../../activities/money.ts';
import { type Books, codesOf, divide, type Invoice, sumOf } from './books.ts';
import type { Random } from './random.ts';

type AskedLine = {
  readonly description: string;
  readonly quantity: string;
  readonly unitPrice: number;
  readonly discount?: { readonly percent: string } | { readonly amount: number };
  readonly taxRate?: string;
  readonly taxRateBasisPoints?: number;
  readonly accountCode?: string;
};

/** Discounts are so small that each fits into a request. */
const MOST_OFF = 10_000;

/** 100 %, in thousandths of a percent. */
const WHOLE = 100_000n;

/** One to five lines; now and then a discount on one, or one or two over the whole invoice. */
export function drawLines(books: Books, random: Random): AskedLine[] {
  const { nat, pick, chance, unusual } = random;
  const income = codesOf(books, ({ type }) => type === 'income');
  const lines = Array.from({ length: 1 + nat(4) }, (): AskedLine => {
    const line = {
      description: 'Work',
      quantity: pick(['1', '2', '1.5', '0.25', '33.3333', '12', '0.5', '2.25']),
      unitPrice: unusual(0.01) ? pick([0, 9_999_999_999_999]) : pick([1 + nat(300), 50 + nat(20_000)]),
      ...drawRate(random),
      ...(chance(0.2) && { accountCode: unusual(0.1) ? '1000' : pick(income) }),
    };
    const gross = grossOf(line);
    const percent = pick(['10', '12.5', '33.333', '100', '0']);
    const discount = gross > 0n && chance(0.5) ? { amount: 1 + nat(Math.min(Number(gross), MOST_OFF)) } : { percent };
    return chance(0.2) ? { ...line, discount } : line;
  });
  if (!chance(0.3)) return lines;
  // Over all of the invoice: mostly less than its lines are worth, and at the rate of one of them.
  const [most] = lines.map(grossOf).sort((one, other) => Number(other - one));
  const part = Math.trunc(Math.min(Number(most), MOST_OFF) / (unusual(0.2) ? 1 : 4));
  const discounts = Array.from({ length: chance(0.3) ? 2 : 1 }, (): AskedLine => {
    const unitPrice = -1 - nat(Math.max(1, part));
    return {
      description: 'Discount',
      quantity: '1',
      unitPrice,
      ...(chance(0.7) ? rateOf(pick(lines)) : drawRate(random)),
    };
  });
  return [...lines, ...discounts];
}

function rateOf({ taxRate, taxRateBasisPoints }: AskedLine) {
  return taxRate === undefined ? { taxRateBasisPoints: taxRateBasisPoints ?? 0 } : { taxRate };
}

function drawRate({ pick, chance }: Random) {
  const taxRateBasisPoints = pick([0, 825, 1_900, 700, 1, 10_000]);
  return chance(0.3) ? { taxRate: pick(['8.875', '9.975', '20', '8.25', '0.001']) } : { taxRateBasisPoints };
}

/** What the lines come to, in the way in which the company rounds tax. */
export function linesOf(asked: readonly AskedLine[], rounding: string): Invoice['lines'] {
  const lines = asked.map((line) => {
    const gross = grossOf(line);
    const { discount } = line;
    const off = discount === undefined ? 0n : 'amount' in discount ? BigInt(discount.amount) : shareOf(gross, discount);
    const rate = line.taxRate === undefined ? BigInt(line.taxRateBasisPoints ?? 0) * 10n : thousandths(line.taxRate);
    const net = gross - off;
    const account = line.accountCode ?? '4000';
    return { rate, net, tax: divide(net * rate, WHOLE), account, creditedNet: 0n, creditedTax: 0n };
  });
  if (rounding === 'document') for (const { rate } of lines) spread(lines.filter((line) => line.rate === rate));
  return lines;
}

/** Whether an invoice can have these lines. */
export function isInRange(asked: readonly AskedLine[], rounding: string): boolean {
  const lines = linesOf(asked, rounding);
  const subtotal = sumOf(lines, ({ net }) => net);
  const total = subtotal + sumOf(lines, ({ tax }) => tax);
  const isAmount = (amount: bigint) => amount >= -MAX_AMOUNT_MINOR && amount <= MAX_AMOUNT_MINOR;
  return total >= 1n && subtotal >= 0n && [total, subtotal, ...asked.map(grossOf)].every(isAmount);
}

/** Lines of one rate. Each unit goes to the line that is furthest below its exact share, of several to the first. */
function spread(lines: { readonly rate: bigint; readonly net: bigint; tax: bigint }[]): void {
  const missing = (line: (typeof lines)[number]) => line.net * line.rate - line.tax * WHOLE;
  const total = divide(
    sumOf(lines, ({ net, rate }) => net * rate),
    WHOLE,
  );
  for (const line of lines) {
    line.tax = (line.net * line.rate) / WHOLE;
    if (missing(line) < 0n) line.tax -= 1n;
  }
  while (sumOf(lines, ({ tax }) => tax) < total) {
    const furthest = lines.reduce((found, line) => (missing(line) > missing(found) ? line : found));
    furthest.tax += 1n;
  }
}

function grossOf({ quantity, unitPrice }: Pick<AskedLine, 'quantity' | 'unitPrice'>): bigint {
  const [whole = '', places = ''] = quantity.split('.');
  return divide(BigInt(whole + places.padEnd(4, '0')) * BigInt(unitPrice), 10_000n);
}

function shareOf(gross: bigint, { percent }: { readonly percent: string }): bigint {
  return divide(gross * thousandths(percent), WHOLE);
}

function thousandths(percent: string): bigint {
  const [whole = '', places = ''] = percent.split('.');
  return BigInt(whole + places.padEnd(3, '0'));
}
