import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { addAccount, readEntry } from '../support/books.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';

/** Tax rates of three places, discounts, and the two ways of rounding. Figures are worked out with pencil and paper. */
let system: System;
/** Rounds tax by line, as every company at first. */
let byLine: Company;
let byDocument: Company;
beforeAll(async () => {
  system = await startSystem();
  [byLine, byDocument] = await Promise.all([system.company(), system.company()]);
  for (const company of [byLine, byDocument]) await addAccount(company, { code: '4100', type: 'income' });
  const change = { expectedVersion: 1, taxRounding: 'document' };
  await byDocument.api.created('/api/company/settings', change, { method: 'PATCH' });
});
afterAll(() => system.stop());

type Line = Readonly<Record<string, unknown>>;
const line = (more: Line): Line => ({ description: 'Work', quantity: '1', ...more });

async function bodyOf(company: Company, lines: readonly Line[]) {
  const dates = { issueDate: '2026-01-15', dueDate: '2026-12-31' };
  return { customerId: await company.customer(), currency: 'USD', ...dates, lines: lines.map(line) };
}

const draft = async (company: Company, ...lines: Line[]) =>
  company.api.created('/api/invoices', await bodyOf(company, lines));

async function finalized(company: Company, ...lines: Line[]) {
  const { id } = await draft(company, ...lines);
  return company.api.created(`/api/invoices/${id}/finalize`, {});
}

const send = async (company: Company, ...lines: Line[]) =>
  company.api.post('/api/invoices', await bodyOf(company, lines), { headers: { prefer: 'wait=60' } });

const credit = (company: Company, invoiceId: string, lineNumber: number, net: number) =>
  company.api.post(
    `/api/invoices/${invoiceId}/credit-notes`,
    { lines: [{ lineNumber, net }], reason: 'Returned', date: '2026-02-01' },
    { headers: { prefer: 'wait=60' } },
  );

describe('a tax rate', () => {
  test.each<[asked: Line, told: Line]>([
    // 1999 × 8.875 % = 177.41125, × 9.975 % = 199.40025.
    [{ taxRate: '8.875' }, { taxRate: '8.875', taxRateBasisPoints: null, net: 1_999, tax: 177 }],
    [{ taxRate: '9.975' }, { taxRate: '9.975', taxRateBasisPoints: null, net: 1_999, tax: 199 }],
    [{ taxRate: '20.000' }, { taxRate: '20', taxRateBasisPoints: 2_000, tax: 400 }],
    [{ taxRate: '0.001' }, { taxRate: '0.001', taxRateBasisPoints: null, tax: 0 }],
    [{ taxRate: '100' }, { taxRate: '100', taxRateBasisPoints: 10_000, tax: 1_999 }],
    [{ taxRateBasisPoints: 825 }, { taxRate: '8.25', taxRateBasisPoints: 825, tax: 165 }],
    [{}, { taxRate: '0', taxRateBasisPoints: 0, tax: 0, discount: null }],
  ])('asked for as %j is told as %j', async (asked, told) => {
    const answer = await draft(byLine, { unitPrice: 1_999, ...asked });
    expect(answer).toMatchObject({ lines: [told], taxRounding: 'line' });
    expect((await byLine.api.get(`/api/invoices/${answer.id}`)).json).toMatchObject(answer);
  });

  test.each<[Line, string]>([
    [{ taxRate: '8.875', taxRateBasisPoints: 888 }, '/lines/0/taxRate'],
    [{ taxRate: '0', taxRateBasisPoints: 0 }, '/lines/0/taxRate'],
    ...['8.8755', '100.001', '-1', '08.5', '.5', '5.', '1e1', '8,875', '', 8.875, null].map(
      (taxRate): [Line, string] => [{ taxRate }, '/lines/0/taxRate'],
    ),
  ])('%j is none', async (asked, pointer) => {
    const { status, json } = await send(byLine, { unitPrice: 100, ...asked });
    expect([status, json.code, json.errors?.[0]?.pointer]).toEqual([422, 'validation_failed', pointer]);
  });

  test('in its old form is the same request as ever, and none at all is 0 basis points', async () => {
    const key = randomUUID();
    const body = await bodyOf(byLine, [{ unitPrice: 500 }]);
    const first = await byLine.api.post('/api/invoices', body, { key, headers: { prefer: 'wait=60' } });
    const same = { ...body, lines: [line({ unitPrice: 500, taxRateBasisPoints: 0 })] };
    expect(await byLine.api.post('/api/invoices', same, { key })).toMatchObject({ replayed: true, text: first.text });
    const other = { ...body, lines: [line({ unitPrice: 500, taxRate: '0' })] };
    expect((await byLine.api.post('/api/invoices', other, { key })).json.code).toBe('idempotency_key_reused');
  });
});

describe('a discount', () => {
  test.each<[asked: Line, told: Line]>([
    // 12 × 9500 = 114 000; × 12.5 % = 14 250; 99 750 × 8.875 % = 8852.8125.
    [
      { quantity: '12', unitPrice: 9_500, discount: { percent: '12.500' }, taxRate: '8.875' },
      { discount: { percent: '12.5' }, net: 99_750, tax: 8_853 },
    ],
    // 499.5 → 500 first; × 33.333 % = 166.665 → 167.
    [
      { quantity: '1.5', unitPrice: 333, discount: { percent: '33.333' } },
      { discount: { percent: '33.333' }, net: 333, tax: 0 },
    ],
    [
      { unitPrice: 1_000, discount: { amount: 1 }, taxRate: '20' },
      { discount: { amount: 1 }, net: 999, tax: 200 },
    ],
    [
      { unitPrice: 70, discount: { percent: '0' } },
      { discount: { percent: '0' }, net: 70 },
    ],
  ])('asked for as %j is told as %j', async (asked, told) => {
    const answer = await draft(byLine, asked);
    expect(answer.lines).toMatchObject([told]);
    expect((await byLine.api.get(`/api/invoices/${answer.id}`)).json).toMatchObject(answer);
  });

  test('of the whole line leaves a line of nothing', async () => {
    const lines = [{ unitPrice: 10, discount: { percent: '100' }, taxRate: '20' }, { unitPrice: 5 }];
    expect(await draft(byLine, ...lines)).toMatchObject({ lines: [{ net: 0, tax: 0 }, {}], total: 5 });
    const { status } = await send(byLine, { unitPrice: 10, discount: { amount: 10 } }, { unitPrice: 5 });
    expect(status).toBe(201);
  });

  test.each<[Line, string]>([
    [{ discount: { percent: '100.001' } }, '/lines/0/discount/percent'],
    [{ discount: { percent: 10 } }, '/lines/0/discount/percent'],
    [{ discount: { amount: 0 } }, '/lines/0/discount/amount'],
    [{ discount: { amount: 101 } }, '/lines/0/discount/amount'],
    // 0.0001 × 100 is 0.
    [{ quantity: '0.0001', discount: { amount: 1 } }, '/lines/0/discount/amount'],
    [{ discount: { percent: '1', amount: 1 } }, '/lines/0/discount'],
    [{ discount: {} }, '/lines/0/discount'],
    [{ discount: null }, '/lines/0/discount'],
    [{ unitPrice: -100, discount: { percent: '1' } }, '/lines/0/discount'],
    [{ quantity: '1.00001', discount: { amount: 101 } }, '/lines/0/quantity'],
  ])('%j is none', async (asked, pointer) => {
    const { status, json } = await send(byLine, { unitPrice: 100, ...asked }, { unitPrice: 1_000 });
    expect([status, json.code]).toEqual([422, 'validation_failed']);
    expect(json.errors).toEqual([expect.objectContaining({ in: 'body', pointer })]);
  });
});

describe('a discount over the whole invoice', () => {
  // 1000 × 20 % = 200 on 4000, 300 untaxed on 4100; −250 × 20 % = −50 on 4100; −50 × 8.875 % = −4.4375 on 4000.
  const lines: readonly Line[] = [
    { unitPrice: 1_000, taxRate: '20' },
    { unitPrice: 300, accountCode: '4100' },
    { unitPrice: -250, taxRate: '20', accountCode: '4100' },
    { unitPrice: -50, taxRate: '8.875' },
  ];

  test('is a line that takes off net and tax, and is posted to its account', async () => {
    const invoice = await finalized(byLine, ...lines);
    expect(invoice).toMatchObject({ subtotal: 1_000, tax: 146, total: 1_146, amountDue: 1_146 });
    expect(invoice.lines[3]).toMatchObject({ unitPrice: -50, net: -50, tax: -4 });
    expect((await readEntry(system.owner, byLine.id, invoice.journalEntryId)).lines).toEqual([
      ['1100', 1_146, 'USD'],
      ['4000', -950, 'USD'],
      ['4100', -50, 'USD'],
      ['2100', -146, 'USD'],
    ]);
    await byLine.api.created(`/api/invoices/${invoice.id}/void`, { reason: 'Never ordered', date: '2026-01-16' });
  });

  test('debits an account of which it is all, and leaves out one that comes to nothing', async () => {
    const debits = await finalized(byLine, { unitPrice: 300 }, { unitPrice: -100, accountCode: '4100' });
    expect((await readEntry(system.owner, byLine.id, debits.journalEntryId)).lines).toEqual([
      ['1100', 200, 'USD'],
      ['4000', -300, 'USD'],
      ['4100', 100, 'USD'],
    ]);
    const nothing = await finalized(byLine, { unitPrice: 300, taxRate: '10' }, { unitPrice: -300 });
    expect(nothing).toMatchObject({ subtotal: 0, tax: 30, total: 30 });
    expect((await readEntry(system.owner, byLine.id, nothing.journalEntryId)).lines).toEqual([
      ['1100', 30, 'USD'],
      ['2100', -30, 'USD'],
    ]);
    // What is taken off may be taxed where the rest is not: 2100 is debited.
    const taken = await finalized(byLine, { unitPrice: 300 }, { unitPrice: -100, taxRate: '20' });
    expect(taken).toMatchObject({ subtotal: 200, tax: -20, total: 180 });
    expect((await readEntry(system.owner, byLine.id, taken.journalEntryId)).lines.at(-1)).toEqual(['2100', 20, 'USD']);
  });

  test.each<[string, readonly Line[], string]>([
    ['is more than the rest', [{ unitPrice: 100, taxRate: '100' }, { unitPrice: -101 }], '/lines'],
    ['leaves nothing', [{ unitPrice: 100 }, { unitPrice: -100 }], '/lines'],
    [
      'is beyond 10^13',
      [
        { quantity: '3', unitPrice: 1e13 },
        { quantity: '2.9', unitPrice: -1e13 },
      ],
      '/lines/0',
    ],
  ])('is refused where it %s', async (_, refused, pointer) => {
    const { status, json } = await send(byLine, ...refused);
    expect([status, json.code, json.errors]).toEqual([422, 'amount_out_of_range', [{ in: 'body', pointer }]]);
  });

  test('cannot be credited; the other lines can, up to what it leaves at their rate and to what is due', async () => {
    const { id } = await finalized(byLine, ...lines);
    const refused = await credit(byLine, id, 3, 1);
    expect([refused.status, refused.json.code]).toEqual([422, 'invoice_line_not_creditable']);
    expect(refused.json.errors).toEqual([{ in: 'body', pointer: '/lines/0/lineNumber' }]);
    // 1000 − 250 and 200 − 50 are left at 20 %; of the 300 untaxed, 1146 − 900 are due.
    expect((await credit(byLine, id, 1, 751)).json.code).toBe('credit_exceeds_line');
    expect((await credit(byLine, id, 1, 750)).json).toMatchObject({ net: 750, tax: 150, total: 900 });
    expect((await credit(byLine, id, 2, 247)).json.code).toBe('credit_exceeds_due');
    expect((await credit(byLine, id, 2, 246)).json).toMatchObject({ net: 246, tax: 0, total: 246 });
    expect((await byLine.api.get(`/api/invoices/${id}`)).json).toMatchObject({ status: 'paid', amountDue: 0 });
  });
});

describe('tax rounded over the document', () => {
  test('is spread over the lines of each rate, and posted', async () => {
    // 3 × 8.25 = 24.75 → 25 on 300; 8.875 → 9 on 100.
    const lines = ['8.25', '8.875', '8.250', '8.25'].map((taxRate) => ({ unitPrice: 100, taxRate }));
    const rounded = await finalized(byLine, ...lines);
    expect(rounded).toMatchObject({ taxRounding: 'line', tax: 33, lines: [8, 9, 8, 8].map((tax) => ({ tax })) });
    const document = await finalized(byDocument, ...lines);
    expect(document).toMatchObject({ taxRounding: 'document', tax: 34, lines: [9, 9, 8, 8].map((tax) => ({ tax })) });
    expect((await readEntry(system.owner, byDocument.id, document.journalEntryId)).lines).toEqual([
      ['1100', 434, 'USD'],
      ['4000', -400, 'USD'],
      ['2100', -34, 'USD'],
    ]);
  });

  test('is credited with the line that it was given to, the last note taking the rest', async () => {
    const { id } = await finalized(byDocument, ...[1, 2, 3].map(() => ({ unitPrice: 100, taxRate: '8.25' })));
    // Line 1 has 9: 9 × 50 / 100 = 4.5 → 5, and then the 4 that are left; line 2 has 8.
    const notes = [await credit(byDocument, id, 1, 50), await credit(byDocument, id, 1, 50)];
    expect(notes.map(({ json }) => json.tax)).toEqual([5, 4]);
    expect((await credit(byDocument, id, 2, 100)).json.tax).toBe(8);
    expect((await credit(byDocument, id, 3, 100)).json.tax).toBe(8);
    expect((await byDocument.api.get(`/api/invoices/${id}`)).json).toMatchObject({ amountDue: 0, status: 'paid' });
  });

  test('is kept by a draft, whatever the setting is when it is finalized', async () => {
    const own = await system.company();
    const lines = [1, 2].map(() => ({ unitPrice: 10, taxRate: '5' }));
    const { id } = await draft(own, ...lines);
    const change = { expectedVersion: 1, taxRounding: 'document' };
    const settings = await own.api.created('/api/company/settings', change, { method: 'PATCH' });
    expect(settings).toMatchObject({ taxRounding: 'document', version: 2 });
    // By line 0.5 → 1 twice; over the document 1.
    expect(await own.api.created(`/api/invoices/${id}/finalize`, {})).toMatchObject({ tax: 2, taxRounding: 'line' });
    expect(await draft(own, ...lines)).toMatchObject({ tax: 1, taxRounding: 'document' });
  });

  test.each(['cash', null, 1])('is not a setting of %j', async (taxRounding) => {
    const body = { expectedVersion: 2, taxRounding };
    const { status, json } = await byDocument.api.post('/api/company/settings', body, { method: 'PATCH' });
    expect([status, json.errors?.[0]?.pointer]).toEqual([422, '/taxRounding']);
  });
});

describe('the database', () => {
  /** A further line of a draft whose only one is 1.5 × 333 at 8.25 %: net 500, exact tax 41.25. */
  async function addLine(company: Company, changes: object): Promise<unknown> {
    const { id } = await draft(company, { quantity: '1.5', unitPrice: 333, taxRate: '8.25' });
    const client = await system.owner.connect();
    try {
      await client.query('BEGIN');
      return await client.query(
        `INSERT INTO invoice_lines SELECT (jsonb_populate_record(l, $2)).* FROM invoice_lines l WHERE l.invoice_id = $1`,
        [id, JSON.stringify({ line_number: 2, ...changes })],
      );
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  }

  test('takes a line that is right, by line and by document', async () => {
    await addLine(byLine, {});
    // Two times 41.25 are 82.5 → 83: the first gets the unit that is left, which it does not have.
    await expect(addLine(byDocument, {})).rejects.toMatchObject({ constraint: 'invoice_lines_tax_is_rounded' });
    // Of 41.25 and 20.625 → 62, the larger remainder gets it.
    await addLine(byDocument, { quantity: 1, unit_price_minor: 250, net_minor: 250, tax_minor: 21 });
  });

  test.each([
    ['invoice_lines_tax_is_rounded', { tax_minor: 42 }],
    ['invoice_lines_tax_is_share', { tax_minor: 43 }],
    ['invoice_lines_tax_is_share', { tax_minor: 40 }],
    ['invoice_lines_net_is_product', { unit_price_minor: 334 }],
    ['invoice_lines_net_is_product', { discount_minor: 1 }],
    [
      'invoice_lines_discount_is_share',
      { discount_thousandths: 10_000, discount_minor: 49, net_minor: 451, tax_minor: 37 },
    ],
    ['invoice_lines_discount_within_gross', { discount_minor: 501, net_minor: -1, tax_minor: 0 }],
    [
      'invoice_lines_discount_within_gross',
      { unit_price_minor: -333, discount_minor: 1, net_minor: -501, tax_minor: -41 },
    ],
    ['invoice_lines_rates_agree', { tax_rate_basis_points: null }],
    ['invoice_lines_rates_agree', { tax_rate_thousandths: 8_251 }],
    [
      'invoice_lines_tax_rate_thousandths_check',
      { tax_rate_thousandths: 100_001, tax_rate_basis_points: null, tax_minor: 500 },
    ],
  ])('refuses by %s a line with %j', async (constraint, changes) => {
    await expect(addLine(byLine, changes)).rejects.toMatchObject({ code: '23514', constraint });
  });
});

test('all of this leaves the controls holding', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
