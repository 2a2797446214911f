import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readEntry } from '../support/books.ts';
import type { Company } from '../support/companies.ts';
import { hire, payRun } from '../support/payroll.ts';
import { type System, startSystem } from '../support/system.ts';

/** Worked out with pencil and paper, as the comments say, and then asked of the API. All amounts in minor units. */
let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
});
afterAll(() => system.stop());

/** quantity, unit price, tax rate in basis points or, as a string, in percent → net, tax */
type InvoiceLine = readonly [quantity: string, unitPrice: number, rate: number | string, net: number, tax: number];
const bodyOf = ([quantity, unitPrice, rate]: InvoiceLine) => {
  const taxed = typeof rate === 'string' ? { taxRate: rate } : { taxRateBasisPoints: rate };
  return { description: 'Work', quantity, unitPrice, ...taxed };
};

describe('an invoice', () => {
  test.each<{ currency: string; shown: string; lines: readonly InvoiceLine[] }>([
    // 1.5 × 333 = 499.5 → 500; 500 × 8.25 % = 41.25 → 41. And 3 × 1999 = 5997, untaxed.
    {
      currency: 'USD',
      shown: '65.38 USD',
      lines: [
        ['1.5', 333, 825, 500, 41],
        ['3', 1_999, 0, 5_997, 0],
      ],
    },
    // 0.3333 × 3001 = 1000.2333 → 1000; 1000 × 19.25 % = 192.5 → 193. 7 × 1499 = 10493; × 7.25 % = 760.7425 → 761.
    {
      currency: 'USD',
      shown: '124.47 USD',
      lines: [
        ['0.3333', 3_001, 1_925, 1_000, 193],
        ['7', 1_499, 725, 10_493, 761],
      ],
    },
    // Each line is rounded: three times 100 × 8.25 % = 8.25 → 8 are 24, though 300 × 8.25 % = 24.75 would be 25.
    {
      currency: 'USD',
      shown: '3.24 USD',
      lines: [
        ['1', 100, 825, 100, 8],
        ['2', 50, 825, 100, 8],
        ['4', 25, 825, 100, 8],
      ],
    },
    // And three times 10 × 5 % = 0.5 → 1 are 3, though 30 × 5 % = 1.5 would be 2.
    {
      currency: 'USD',
      shown: '0.33 USD',
      lines: [
        ['1', 10, 500, 10, 1],
        ['10', 1, 500, 10, 1],
        ['0.1', 100, 500, 10, 1],
      ],
    },
    // 2.5 × 1 = 2.5 → 3; 3 × 25 % = 0.75 → 1. 0.0001 × 4999 = 0.4999 → 0, and no tax on nothing.
    {
      currency: 'USD',
      shown: '0.04 USD',
      lines: [
        ['2.5', 1, 2_500, 3, 1],
        ['0.0001', 4_999, 10_000, 0, 0],
      ],
    },
    // 1999 × 8.875 % = 177.41125 → 177. 2 × 1999 = 3998; × 9.975 % = 398.8005 → 399.
    {
      currency: 'USD',
      shown: '65.73 USD',
      lines: [
        ['1', 1_999, '8.875', 1_999, 177],
        ['2', 1_999, '9.975', 3_998, 399],
      ],
    },
    // 400 × 8.875 % = 35.5 → 36. 2000 × 9.975 % = 199.5 → 200. 0.001 % of 50 000 = 0.5 → 1.
    {
      currency: 'JPY',
      shown: '52637 JPY',
      lines: [
        ['1', 400, '8.875', 400, 36],
        ['0.5', 4_000, '9.975', 2_000, 200],
        ['1', 50_000, '0.001', 50_000, 1],
      ],
    },
    // No minor unit: 3 × 1250 = 3750 yen; 10 % of it = 375. 0.5 × 1001 = 500.5 → 501; × 8 % = 40.08 → 40.
    {
      currency: 'JPY',
      shown: '4666 JPY',
      lines: [
        ['3', 1_250, 1_000, 3_750, 375],
        ['0.5', 1_001, 800, 501, 40],
      ],
    },
    // A thousand fils: 1.25 × 10.500 = 13.125 dinars; × 5 % = 0.65625 → 0.656.
    { currency: 'KWD', shown: '13.781 KWD', lines: [['1.25', 10_500, 500, 13_125, 656]] },
  ])('over $shown is the sum of its lines', async ({ currency, shown, lines }) => {
    const invoice = await company.api.created('/api/invoices', {
      customerId: await company.customer(currency),
      currency,
      issueDate: '2026-01-15',
      dueDate: '2026-12-31',
      lines: lines.map(bodyOf),
    });
    const subtotal = lines.reduce((sum, [, , , net]) => sum + net, 0);
    const tax = lines.reduce((sum, [, , , , ofLine]) => sum + ofLine, 0);
    expect(invoice.lines).toMatchObject(lines.map(([, , , net, ofLine]) => ({ net, tax: ofLine })));
    expect(invoice).toMatchObject({ subtotal, tax, total: subtotal + tax });

    const { journalEntryId } = await company.api.created(`/api/invoices/${invoice.id}/finalize`, {});
    const { lines: posted } = await readEntry(system.owner, company.id, journalEntryId);
    expect(posted).toEqual([
      ['1100', subtotal + tax, currency],
      ['4000', -subtotal, currency],
      ['2100', -tax, currency],
    ]);
    // How it reads with the point where the currency has it: in the refusal of a payment of one unit too many.
    const tooMuch = { invoiceId: invoice.id, amount: subtotal + tax + 1, currency, method: 'cash' };
    const { json } = await company.api.post('/api/payments', tooMuch);
    expect(json).toMatchObject({ code: 'payment_exceeds_outstanding', detail: `${shown} is due on the invoice.` });
  });
});

describe('the tax of a line that is credited in parts', () => {
  test.each<{ line: InvoiceLine; credits: readonly (readonly [net: number, tax: number])[] }>([
    // 1000 × 8.25 % = 82.5 → 83. 83 × 333 / 1000 = 27.639 → 28, twice; 27 are left.
    {
      line: ['1', 1_000, 825, 1_000, 83],
      credits: [
        [333, 28],
        [333, 28],
        [334, 27],
      ],
    },
    // 400 × 8.875 % = 35.5 → 36. 36 × 133 / 400 = 11.97 → 12, twice; 12 are left.
    {
      line: ['1', 400, '8.875', 400, 36],
      credits: [
        [133, 12],
        [133, 12],
        [134, 12],
      ],
    },
    // 3 × 66.67 % = 2.0001 → 2. 2 × 1 / 3 = 0.67 → 1, twice; nothing is left for the third.
    {
      line: ['3', 1, 6_667, 3, 2],
      credits: [
        [1, 1],
        [1, 1],
        [1, 0],
      ],
    },
    // 3 × 33.33 % = 0.9999 → 1. 1 × 1 / 3 = 0.33 → 0, twice; the third takes all of it.
    {
      line: ['3', 1, 3_333, 3, 1],
      credits: [
        [1, 0],
        [1, 0],
        [1, 1],
      ],
    },
    // 7 × 10 % = 0.7 → 1. 1 × 3 / 7 = 0.43 → 0; the rest takes all of it.
    {
      line: ['7', 1, 1_000, 7, 1],
      credits: [
        [3, 0],
        [4, 1],
      ],
    },
    // 5 × 50 % = 2.5 → 3. 3 × 1 / 5 = 0.6 → 1, three times; then 3 are gone, and 1 more would be too many.
    {
      line: ['5', 1, 5_000, 5, 3],
      credits: [
        [1, 1],
        [1, 1],
        [1, 1],
        [1, 0],
        [1, 0],
      ],
    },
  ])('of net $line.3 and tax $line.4 is all there in the end', async ({ line, credits }) => {
    const [, , , , tax] = line;
    const { id } = await company.api.created('/api/invoices', {
      customerId: await company.customer(),
      currency: 'USD',
      issueDate: '2026-01-15',
      dueDate: '2026-12-31',
      lines: [bodyOf(line)],
    });
    await company.api.created(`/api/invoices/${id}/finalize`, {});
    for (const [net, ofNote] of credits) {
      const body = { lines: [{ lineNumber: 1, net }], reason: 'Returned', date: '2026-02-01' };
      const note = await company.api.created(`/api/invoices/${id}/credit-notes`, body);
      expect(note).toMatchObject({ lines: [{ net, tax: ofNote }], total: net + ofNote });
    }
    expect(credits.reduce((sum, [, ofNote]) => sum + ofNote, 0)).toBe(tax);
    expect((await company.api.get(`/api/invoices/${id}`)).json).toMatchObject({ amountDue: 0, status: 'paid' });
  });
});

describe('a year of pay', () => {
  /** The gross of each period: `usual`, but for those that get one minor unit more. */
  test.each<{ payFrequency: string; annualSalary: number; usual: number; more: readonly number[]; periods: number }>([
    // 520 003 / 52 = 10 000 and 3 over: ⌊3k / 52⌋ rises at k = 18 (54), 35 (105) and 52 (156).
    { payFrequency: 'weekly', annualSalary: 520_003, periods: 52, usual: 10_000, more: [18, 35, 52] },
    // 130 005 / 26 = 5 000 and 5 over: ⌊5k / 26⌋ rises at k = 6 (30), 11 (55), 16 (80), 21 (105) and 26 (130).
    { payFrequency: 'biweekly', annualSalary: 130_005, periods: 26, usual: 5_000, more: [6, 11, 16, 21, 26] },
    // 5 000 001 / 24 = 208 333 and 9 over: ⌊9k / 24⌋ rises at k = 3, 6, 8, and so again every 8 periods.
    {
      payFrequency: 'semimonthly',
      annualSalary: 5_000_001,
      periods: 24,
      usual: 208_333,
      more: [3, 6, 8, 11, 14, 16, 19, 22, 24],
    },
    // 5 000 001 / 12 = 416 666 and 9 over: ⌊9k / 12⌋ rises at k = 2, 3, 4, and so again every 4 periods.
    {
      payFrequency: 'monthly',
      annualSalary: 5_000_001,
      periods: 12,
      usual: 416_666,
      more: [2, 3, 4, 6, 7, 8, 10, 11, 12],
    },
  ])('that is $payFrequency sums to the salary of $annualSalary', async ({ periods, usual, more, ...terms }) => {
    const employeeId = await hire(company, { ...terms, deductions: [] });
    const { payFrequency, annualSalary } = terms;
    const runs = await Promise.all(
      Array.from({ length: periods }, (_, index) =>
        payRun(company, { payFrequency, periodNumber: index + 1, employeeIds: [employeeId] }),
      ),
    );
    const gross = runs.map(({ payslips }) => payslips[0].gross as number);
    expect(gross).toEqual(Array.from(gross, (_, index) => usual + (more.includes(index + 1) ? 1 : 0)));
    expect(gross.reduce((sum, ofPeriod) => sum + ofPeriod, 0)).toBe(annualSalary);
  });
});

describe('a payslip', () => {
  test.each([
    // The second month of 5 000 001 is 416 667. Taxable 416 667 − 10 001 = 406 666; × 23.45 % = 95 363.177 → 95 363;
    // net 406 666 − 95 363 − 333 = 310 970; employer 416 667 × 12.34 % = 51 416.7078 → 51 417.
    {
      terms: { currency: 'USD', annualSalary: 5_000_001, payFrequency: 'monthly', taxRateBasisPoints: 2_345 },
      preTax: 10_001,
      postTax: 333,
      employerRate: 1_234,
      slip: { gross: 416_667, tax: 95_363, net: 310_970, employerTax: 51_417 },
    },
    // 3 600 000 / 12 = 300 000 yen; × 10.21 % = 30 630; employer × 7.65 % = 22 950.
    {
      terms: { currency: 'JPY', annualSalary: 3_600_000, payFrequency: 'monthly', taxRateBasisPoints: 1_021 },
      preTax: 0,
      postTax: 0,
      employerRate: 765,
      slip: { gross: 300_000, tax: 30_630, net: 269_370, employerTax: 22_950 },
    },
    // The second week of 5 201 is ⌊200.04⌋ − ⌊100.02⌋ = 100. Taxable 100 − 50 = 50; × 1 % = 0.5 → 1; net 50 − 1 − 49 = 0;
    // employer 100 × 0.5 % = 0.5 → 1.
    {
      terms: { currency: 'USD', annualSalary: 5_201, payFrequency: 'weekly', taxRateBasisPoints: 100 },
      preTax: 50,
      postTax: 49,
      employerRate: 50,
      slip: { gross: 100, tax: 1, net: 0, employerTax: 1 },
    },
    // 24 000 dinars a year, twice a month: 1 000.000; × 0.01 % = 0.100; employer × 11.5 % = 115.000.
    {
      terms: { currency: 'KWD', annualSalary: 24_000_000, payFrequency: 'semimonthly', taxRateBasisPoints: 1 },
      preTax: 0,
      postTax: 250,
      employerRate: 1_150,
      slip: { gross: 1_000_000, tax: 100, net: 999_650, employerTax: 115_000 },
    },
  ])('of $slip.gross in $terms.currency, and its entry', async ({ terms, preTax, postTax, employerRate, slip }) => {
    const own = await system.company();
    const change = { expectedVersion: 1, employerTaxRateBasisPoints: employerRate };
    await own.api.created('/api/company/settings', change, { method: 'PATCH' });
    const deductions = [
      { name: 'Pension', amount: preTax, preTax: true },
      { name: 'Loan', amount: postTax, preTax: false },
    ].filter(({ amount }) => amount > 0);
    await hire(own, { ...terms, deductions });
    const run = await payRun(own, { payFrequency: terms.payFrequency, periodNumber: 2 });
    const all = { ...slip, preTaxDeductions: preTax, postTaxDeductions: postTax };
    expect(run).toMatchObject({ payslips: [all], totals: all });
    const { journalEntryId } = await own.api.created(`/api/payroll/pay-runs/${run.id}/execute`, {});
    const { lines } = await readEntry(system.owner, own.id, journalEntryId);
    const due: (readonly [string, number, string])[] = [
      ['6000', slip.gross, terms.currency],
      ['6010', slip.employerTax, terms.currency],
      ['2200', -slip.tax - slip.employerTax, terms.currency],
      ['2210', -preTax - postTax, terms.currency],
      ['2220', -slip.net, terms.currency],
    ];
    expect(lines).toEqual(due.filter(([, amount]) => amount !== 0));
  });
});

describe('an item', () => {
  type Step = readonly [delta: number, unitCost: number | undefined, quantity: number, value: number];
  test.each<{ name: string; steps: readonly Step[] }>([
    {
      name: 'taken one by one leaves nothing behind',
      steps: [
        [3, 100, 3, 300],
        [1, 101, 4, 401],
        [-1, undefined, 3, 301], // 401 / 4 = 100.25 → 100
        [-1, undefined, 2, 201], // 301 / 3 = 100.33 → 100
        [-1, undefined, 1, 100], // 201 / 2 = 100.5 → 101
        [-1, undefined, 0, 0], // what is left: 100
      ],
    },
    {
      name: 'comes and goes at the average, to the last unit',
      steps: [
        [7, 1, 7, 7],
        [3, 2, 10, 13],
        [5, undefined, 15, 20], // 13 × 5 / 10 = 6.5 → 7
        [-4, undefined, 11, 15], // 20 × 4 / 15 = 5.33 → 5
        [-10, undefined, 1, 1], // 15 × 10 / 11 = 13.64 → 14
        [-1, undefined, 0, 0],
        [2, 50, 2, 100],
      ],
    },
    {
      name: 'of the largest value is exact',
      steps: [
        [3, 3_333_333_333_333, 3, 9_999_999_999_999],
        [-2, undefined, 1, 3_333_333_333_333],
        [1_000_000_000, 6_666, 1_000_000_001, 9_999_333_333_333],
        [-999_999_999, undefined, 2, 19_999], // takes 9 999 333 313 334.33 → …334
      ],
    },
  ])('$name', async ({ name, steps }) => {
    const own = await system.company();
    const { id } = await own.api.created('/api/inventory/items', { sku: name.slice(0, 40), name, currency: 'USD' });
    for (const [quantityDelta, unitCost, quantity, value] of steps) {
      const body = { quantityDelta, reason: 'Counted', date: '2026-02-01', ...(unitCost && { unitCost }) };
      expect(await own.api.created(`/api/inventory/${id}/adjust`, body)).toMatchObject({ quantity, value });
    }
    const [last] = steps.slice(-1).map(([, , , value]) => value);
    const { items } = (await own.api.get('/api/ledger/trial-balance')).json;
    const inventory = items.find(({ accountCode }: { accountCode: string }) => accountCode === '1200');
    expect(inventory?.debit ?? 0).toBe(last);
  });
});
