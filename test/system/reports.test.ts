import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { READ_SCHEMAS } from '../../api/openapi/read-schemas.ts';
import { bankLine, bankTransaction, matching, postManually } from '../support/bank.ts';
import type { Company } from '../support/companies.ts';
import { executedPayRun } from '../support/payroll.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());

/** Asks for a report, which must be of its documented form. */
async function read({ api }: Company, name: string, query: string) {
  const { status, json } = await api.get(`/api/reports/${name}?${query}`);
  expect([status, json.detail]).toEqual([200, undefined]);
  expect(READ_SCHEMAS[name.replaceAll('-', '_')]?.parse(json)).toEqual(json);
  return json;
}

/** A finalized invoice with a line for each net and rate. */
async function invoiceOf(
  { api, ...company }: Company,
  lines: readonly (readonly [unitPrice: number, taxRate: string])[],
  { issueDate = '2026-01-10', currency = 'USD' } = {},
) {
  const draft = await api.created('/api/invoices', {
    customerId: await company.customer(currency),
    ...{ currency, issueDate, dueDate: '2026-12-31' },
    lines: lines.map(([unitPrice, taxRate]) => ({ description: 'Work', quantity: '1', unitPrice, taxRate })),
  });
  return api.created(`/api/invoices/${draft.id}/finalize`, {});
}

/** With relief of the tax. */
const writeOff = ({ api }: Company, id: string, amount: number, date: string) =>
  api.created(`/api/invoices/${id}/write-off`, { amount, reason: 'Insolvent', date, taxRelief: true });
const recoverOn = ({ api }: Company, id: string, date: string) =>
  api.created(`/api/invoices/${id}/recover-write-off`, { reason: 'Paid after all', date });

/** What write-offs of a period take off, by rate, and the totals. */
async function relievedIn(company: Company, from: string, to: string) {
  const { items, totals } = await read(company, 'sales-tax', `from=${from}&to=${to}`);
  return {
    rates: items.map(({ rate, writtenOffTax }: { rate: string; writtenOffTax: number }) => [rate, writtenOffTax]),
    totals: totals.map(({ tax, ledger }: { tax: number; ledger: number }) => [tax, ledger]),
  };
}

/** Runs SQL as nothing but a defect could: past triggers and foreign keys. */
async function plant(sql: string, values: readonly unknown[] = []): Promise<void> {
  const session = await system.owner.connect();
  try {
    await session.query('BEGIN');
    await session.query("SET LOCAL session_replication_role = 'replica'");
    await session.query(sql, [...values]);
    await session.query('COMMIT');
  } catch (error) {
    await session.query('ROLLBACK');
    throw error;
  } finally {
    session.release();
  }
}

describe('sales tax', () => {
  test('counts by rate and currency, each document on its day, and a void on its own', async () => {
    const company = await system.company();
    const { api } = company;
    // 1,000 at 8.875 % is 88.75, so 89; 200 at 20 % is 40; 50 is exempt.
    const first = await invoiceOf(company, [
      [1_000, '8.875'],
      [200, '20'],
      [50, '0'],
    ]);
    const second = await invoiceOf(company, [[500, '20']], { issueDate: '2026-01-20' });
    await invoiceOf(company, [[7, '10']], { currency: 'JPY' });
    await api.created(`/api/invoices/${first.id}/credit-notes`, {
      ...{ lines: [{ lineNumber: 1, net: 400 }], reason: 'Broken', date: '2026-01-31' },
    });
    await api.created(`/api/invoices/${second.id}/void`, { reason: 'Wrong', date: '2026-02-03' });
    // The tax of January is paid.
    await postManually(
      api,
      [
        ['2100', 193],
        ['1000', -193],
      ],
      { date: '2026-02-10' },
    );

    const row = (rate: string, currency: string, amounts: readonly number[]) => {
      const [base, tax, creditedBase = 0, creditedTax = 0] = amounts;
      return { rate, currency, base, tax, creditedBase, creditedTax, writtenOffTax: 0 };
    };
    const yen = row('10', 'JPY', [7, 1]);
    expect(await read(company, 'sales-tax', 'from=2026-01-01&to=2026-01-31')).toEqual({
      ...{ from: '2026-01-01', to: '2026-01-31' },
      // 89 × 400 / 1,000 is 35.6, so 36.
      items: [yen, row('0', 'USD', [50, 0]), row('8.875', 'USD', [1_000, 89, 400, 36]), row('20', 'USD', [700, 140])],
      totals: [
        { currency: 'JPY', tax: 1, ledger: 1, otherPostings: 0 },
        { currency: 'USD', tax: 193, ledger: 193, otherPostings: 0 },
      ],
    });
    expect(await read(company, 'sales-tax', 'from=2026-02-01&to=2026-02-28')).toEqual({
      ...{ from: '2026-02-01', to: '2026-02-28' },
      items: [row('20', 'USD', [-500, -100])],
      totals: [{ currency: 'USD', tax: -100, ledger: -100, otherPostings: -193 }],
    });
    const all = await read(company, 'sales-tax', 'to=2026-12-31');
    expect([all.from, all.items.at(-1)]).toEqual([null, row('20', 'USD', [200, 40])]);
    expect(all.totals.at(-1)).toEqual({ currency: 'USD', tax: 93, ledger: 93, otherPostings: -193 });
  });

  test('spreads what a write-off takes off over the rates, and a recovery takes the same off again', async () => {
    const company = await system.company();
    // Taxes of 10, 10 and 5 of 25 in all.
    const invoice = await invoiceOf(company, [
      [100, '10'],
      [50, '20'],
      [100, '5'],
    ]);
    await writeOff(company, invoice.id, 77, '2026-02-01');
    await recoverOn(company, invoice.id, '2026-03-01');
    const taken = (from: string, to: string) => relievedIn(company, from, to);
    const rates = (at5: number, at10: number, at20: number) => [
      ['5', at5],
      ['10', at10],
      ['20', at20],
    ];
    // 2.8, 2.8 and 1.4 are 2, 2 and 1; the two units that are left go to the larger remainders.
    expect(await taken('2026-02-01', '2026-02-28')).toEqual({ rates: rates(1, 3, 3), totals: [[-7, -7]] });
    expect(await taken('2026-03-01', '2026-03-31')).toEqual({ rates: rates(-1, -3, -3), totals: [[7, 7]] });
    expect((await taken('2026-02-01', '2026-03-31')).rates).toEqual([]);
    await plant('DELETE FROM write_offs WHERE company_id = $1', [company.id]);
    expect((await taken('2026-02-01', '2026-02-28')).totals).toEqual([[0, -7]]);
  });

  test('spreads all that is written off by a day, so that a whole invoice takes off the tax of each rate', async () => {
    const company = await system.company();
    // A tax of 1 at each of two rates, and a total of 32: shares of 1, 1 and 0.
    const lines = [
      [20, '5'],
      [10, '10'],
    ] as const;
    const [invoice, other] = [await invoiceOf(company, lines), await invoiceOf(company, lines)];
    await writeOff(company, invoice.id, 8, '2026-02-01');
    await writeOff(company, invoice.id, 16, '2026-03-01');
    await writeOff(company, invoice.id, 8, '2026-04-01');
    const ratesIn = async (from: string, to: string) => (await relievedIn(company, from, to)).rates;
    const rates = (low: number, high: number) => [
      ['5', low],
      ['10', high],
    ];
    expect(await ratesIn('2026-02-01', '2026-02-28')).toEqual(rates(1, 0));
    expect(await ratesIn('2026-03-01', '2026-03-31')).toEqual(rates(0, 1));
    expect(await ratesIn('2026-02-01', '2026-04-30')).toEqual(rates(1, 1));
    await writeOff(company, other.id, 32, '2026-02-28');
    expect(await ratesIn('2026-02-01', '2026-02-28')).toEqual(rates(2, 1));
    for (const day of ['2026-05-01', '2026-05-02']) await recoverOn(company, invoice.id, day);
    expect(await relievedIn(company, '2026-05-01', '2026-05-31')).toEqual({ rates: rates(0, -1), totals: [[1, 1]] });
    expect(await ratesIn('2026-02-01', '2026-05-31')).toEqual(rates(2, 1));
  });
});

describe('the bank reconciliation statement', () => {
  test('goes by dates: a match counts from the day on which all that it matches is there', async () => {
    const company = await system.company();
    const { api } = company;
    const [cheque, fee] = [
      await bankLine(api, -300, { date: '2026-01-30' }),
      await bankLine(api, -15, { date: '2026-02-02' }),
    ];
    const receipt = await bankLine(api, 1_000, { date: '2026-01-15' });
    const [in15, out300, out15] = [
      await bankTransaction(api, 1_000, { date: '2026-01-16' }),
      await bankTransaction(api, -300, { date: '2026-02-03' }),
      await bankTransaction(api, -15, { date: '2026-01-31' }),
    ];
    await api.created(`/api/ledger/reconcile/${in15}`, matching(receipt.lineId));
    const statement = async (asOf: string) => {
      const { items } = await read(company, 'bank-reconciliation', `asOf=${asOf}`);
      return items.map((item: Record<string, { id: string }[]>) => ({
        ...item,
        outstanding: item['outstanding']?.map(({ id }) => id),
        inTransit: item['inTransit']?.map(({ id }) => id),
      }));
    };
    const endOfJanuary = {
      ...{ currency: 'USD', bankBalance: 985, booksBalance: 700, difference: 0 },
      ...{ outstanding: [cheque.lineId], outstandingCount: 1, outstandingTotal: -300 },
      ...{ inTransit: [out15], inTransitCount: 1, inTransitTotal: -15 },
    };
    expect(await statement('2026-01-31')).toEqual([endOfJanuary]);
    // What is reconciled in February changes nothing of it: one of the two is of February in either case.
    await api.created(`/api/ledger/reconcile/${out300}`, matching(cheque.lineId));
    await api.created(`/api/ledger/reconcile/${out15}`, matching(fee.lineId));
    expect(await statement('2026-01-31')).toEqual([endOfJanuary]);
    expect(await statement('2026-02-03')).toEqual([
      {
        ...{ currency: 'USD', bankBalance: 685, booksBalance: 685, difference: 0 },
        ...{ outstanding: [], outstandingCount: 0, outstandingTotal: 0 },
        ...{ inTransit: [], inTransitCount: 0, inTransitTotal: 0 },
      },
    ]);
    expect(await statement('2026-01-15')).toMatchObject([{ bankBalance: 0, outstandingTotal: 1_000, difference: 0 }]);
    expect(await statement('2026-01-14')).toEqual([]);
    // Undone, it is open as of the day again.
    await api.created(`/api/ledger/unreconcile/${in15}`, { reason: 'Wrong line' });
    expect(await statement('2026-01-20')).toMatchObject([
      { outstanding: [receipt.lineId], inTransit: [in15], bankBalance: 1_000, booksBalance: 1_000, difference: 0 },
    ]);
  });

  test('takes an entry and its reversal for matched from the day of the reversal on', async () => {
    const company = await system.company();
    const { api } = company;
    const { entryId } = await bankLine(api, 50, { date: '2026-01-05' });
    await api.created(`/api/ledger/entries/${entryId}/reverse`, { reason: 'Twice', date: '2026-01-20' });
    const open = async (asOf: string) => {
      const { items } = await read(company, 'bank-reconciliation', `asOf=${asOf}`);
      return items.map((item: Record<string, unknown>) => [
        item['outstandingTotal'],
        item['booksBalance'],
        item['difference'],
      ]);
    };
    expect(await open('2026-01-19')).toEqual([[50, 50, 0]]);
    expect(await open('2026-01-20')).toEqual([[0, 0, 0]]);
  });

  test('lists the oldest thousand, counts all, and tells what is wrong', async () => {
    const company = await system.company();
    await api1000(company);
    const { items } = await read(company, 'bank-reconciliation', 'asOf=2026-12-31');
    expect(items).toHaveLength(1);
    const [{ outstanding, ...item }] = items;
    expect(item).toMatchObject({
      outstandingCount: 1_195,
      outstandingTotal: 1_200,
      booksBalance: 1_200,
      difference: 0,
    });
    expect(outstanding).toHaveLength(1_000);
    expect(outstanding.map(({ date }: { date: string }) => date).slice(-6)).toEqual([
      '2026-01-05',
      ...Array(5).fill('2026-01-06'),
    ]);
    // A match with a line that is not as much: nothing but a defect leaves that.
    const id = await bankTransaction(company.api, 3, { date: '2026-01-01' });
    await plant(
      `INSERT INTO bank_matches (company_id, matched_by, journal_line_id, bank_transaction_id) VALUES ($1, $2, $3, $2)`,
      [company.id, id, outstanding[0].id],
    );
    expect((await read(company, 'bank-reconciliation', 'asOf=2026-12-31')).items).toMatchObject([{ difference: -2 }]);
    await plant('DELETE FROM bank_matches WHERE matched_by = $1', [id]);
  });

  /** Six entries of 200 lines of the bank, a day each. */
  async function api1000({ api }: Company): Promise<void> {
    for (let day = 1; day <= 6; day += 1) {
      const lines = Array.from({ length: 199 }, () => ['1000', 1] as const);
      await postManually(api, [...lines, ['3000', -199]], { date: `2026-01-0${day}` });
    }
    await bankLine(api, 6, { date: '2026-01-06' });
  }

  test.each([
    ['accountCode=1100', '/accountCode'],
    ['accountCode=9999', '/accountCode'],
    ['asOf=soon', '/asOf'],
  ])('refuses %s', async (query, pointer) => {
    const company = await system.company();
    const { status, json } = await company.api.get(`/api/reports/bank-reconciliation?${query}`);
    expect([status, json.code, json.errors[0].pointer]).toEqual([422, 'validation_failed', pointer]);
  });
});

describe('the tie-out', () => {
  test('compares each account with its documents, and tells what is damaged', async () => {
    const company = await system.company();
    const { api } = company;
    const invoice = await invoiceOf(company, [[1_000, '10']]);
    await api.created('/api/payments', {
      ...{ invoiceId: invoice.id, amount: 600, currency: 'USD', method: 'card', receivedOn: '2026-01-20' },
    });
    await api.created('/api/inventory/items', {
      ...{ sku: 'A', name: 'Lamp', currency: 'KWD', openingQuantity: 3, openingUnitCost: 1_000, date: '2026-01-05' },
    });
    await executedPayRun(company);
    await postManually(
      api,
      [
        ['2220', 325_333],
        ['1000', -325_333],
      ],
      { date: '2026-01-31' },
    );
    const item = (accountCode: string, ledger: number, more: object = {}) => ({
      ...{ accountCode, currency: 'USD', ledger, subledger: ledger, difference: 0, otherPostings: 0, ...more },
    });
    expect(await read(company, 'tie-out', 'asOf=2026-01-31')).toEqual({
      asOf: '2026-01-31',
      items: [
        item('1100', 500),
        item('1200', 3_000, { currency: 'KWD' }),
        item('2100', -100),
        item('2200', -113_208),
        item('2210', -10_000),
        item('2220', -325_333, { otherPostings: 325_333 }),
      ],
    });
    expect((await read(company, 'tie-out', 'asOf=2026-01-19')).items.slice(0, 1)).toEqual([item('1100', 1_100)]);
    expect((await read(company, 'tie-out', 'asOf=2026-01-01')).items).toEqual([]);
    for (const { accountCode } of (await read(company, 'tie-out', 'asOf=2026-01-31')).items) {
      const damage = (by: number) =>
        plant(
          `UPDATE journal_lines SET amount_minor = amount_minor + $3 WHERE id = (
             SELECT l.id FROM journal_lines l
             JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id AND a.code = $2
             JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id AND e.operation <> 'createJournalEntry'
             WHERE l.company_id = $1 ORDER BY l.id LIMIT 1)`,
          [company.id, accountCode, by],
        );
      await damage(3);
      const found = (await read(company, 'tie-out', 'asOf=2026-01-31')).items;
      const differing = found.filter((one: { difference: number }) => one.difference !== 0);
      expect(differing).toMatchObject([{ accountCode, difference: 3 }]);
      await damage(-3);
    }
    await plant('UPDATE payments SET amount_minor = amount_minor + 5 WHERE company_id = $1', [company.id]);
    const [receivable] = (await read(company, 'tie-out', 'asOf=2026-01-31')).items;
    expect(receivable).toMatchObject({ accountCode: '1100', ledger: 500, subledger: 495, difference: 5 });
    await plant('UPDATE payments SET amount_minor = amount_minor - 5 WHERE company_id = $1', [company.id]);
  });
});

describe('stock movements', () => {
  test('have the quantity and value after each, by date, whatever was posted when', async () => {
    const company = await system.company();
    const { api } = company;
    const create = async (sku: string) =>
      (await api.created('/api/inventory/items', { sku, name: 'Lamp', currency: 'USD' })).id as string;
    const [lamp, chair] = [await create('LAMP'), await create('CHAIR')];
    const adjust = (itemId: string, quantityDelta: number, date: string, unitCost?: number) =>
      api.created(`/api/inventory/${itemId}/adjust`, { quantityDelta, reason: 'Counted', date, unitCost });
    await adjust(lamp, 10, '2026-01-10', 100);
    await adjust(chair, 1, '2026-01-15', 9);
    await adjust(lamp, -4, '2026-01-20');
    // Of before, and posted last: the lines behind it count it.
    await adjust(lamp, 2, '2026-01-05', 130);
    const told = async (query: string, as: 'owner' | 'inventory_manager' = 'owner') => {
      const { status, json } = await company.as(as).get(`/api/reports/stock-movements?${query}`);
      expect(status).toBe(200);
      for (const item of json.items) expect(READ_SCHEMAS['stock_movement']?.parse(item)).toEqual(item);
      return json.items.map((item: Record<string, unknown>) => [
        ...[item['itemId'] === lamp ? 'lamp' : 'chair', item['date'], item['quantityDelta'], item['cost']],
        ...[item['quantity'], item['value'], item['operation']],
      ]);
    };
    const lamps = [
      ['lamp', '2026-01-20', -4, -400, 8, 860, 'adjustInventory'],
      ['lamp', '2026-01-10', 10, 1_000, 12, 1_260, 'adjustInventory'],
      ['lamp', '2026-01-05', 2, 260, 2, 260, 'adjustInventory'],
    ];
    const chairs = [['chair', '2026-01-15', 1, 9, 1, 9, 'adjustInventory']];
    expect(await told(`itemId=${lamp}`)).toEqual(lamps);
    expect(await told('')).toEqual([lamps[0], ...chairs, ...lamps.slice(1)]);
    expect(await told('from=2026-01-10&to=2026-01-15', 'inventory_manager')).toEqual([...chairs, lamps[1]]);
    expect(await told(`itemId=${company.id}`)).toEqual([]);
  });
});

test('a period that ends before it begins is refused', async () => {
  const company = await system.company();
  for (const report of ['sales-tax', 'general-ledger']) {
    const { status, json } = await company.api.get(`/api/reports/${report}?from=2026-02-01&to=2026-01-31`);
    expect([status, json.code, json.errors[0].pointer]).toEqual([422, 'validation_failed', '/from']);
  }
});

test('without a day a report is of today', async () => {
  const company = await system.company();
  const { rows } = await system.owner.query('SELECT company_today($1)::text AS today', [company.id]);
  const { today } = rows[0];
  expect(await read(company, 'sales-tax', '')).toEqual({ from: null, to: today, items: [], totals: [] });
  expect(await read(company, 'tie-out', '')).toEqual({ asOf: today, items: [] });
  expect(await read(company, 'bank-reconciliation', '')).toEqual({ accountCode: '1000', asOf: today, items: [] });
});
