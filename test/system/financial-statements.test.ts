import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { READ_SCHEMAS } from '../../api/openapi/read-schemas.ts';
import { type Actors, actors } from '../support/actors.ts';
import type { Company } from '../support/companies.ts';
import { close, companyOfTwoYears, post, reopen, told } from '../support/fiscal-years.ts';
import { inForm } from '../support/form.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let sql: Actors;
beforeAll(async () => {
  system = await startSystem();
  sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
});
afterAll(async () => {
  await sql.end();
  await system.stop();
});

const profitAndLoss = (from: string, to: string) => `/api/reports/profit-and-loss?from=${from}&to=${to}`;
const balanceSheet = (asOf: string) => `/api/reports/balance-sheet?asOf=${asOf}`;

describe('the profit and loss', () => {
  test('has income and expenses of the period on their own sides, whether the year is closed or not', async () => {
    const { api } = await companyOfTwoYears(system);
    const expected = {
      from: '2024-01-01',
      to: '2024-12-31',
      items: [
        { accountCode: '4000', name: 'Sales revenue', type: 'income', currency: 'USD', amount: 700 },
        { accountCode: '5000', name: 'Cost of goods sold', type: 'expense', currency: 'USD', amount: 50 },
        { accountCode: '6900', name: 'Bank charges and differences', type: 'expense', currency: 'EUR', amount: 30 },
        { accountCode: '6900', name: 'Bank charges and differences', type: 'expense', currency: 'USD', amount: 200 },
      ],
      totals: [
        { currency: 'EUR', income: 0, expense: 30, result: -30 },
        { currency: 'USD', income: 700, expense: 250, result: 450 },
      ],
    };
    const steps = [async () => {}, () => close(api, 2024), () => reopen(api, 2024), () => close(api, 2024)];
    for (const step of steps) {
      await step();
      expect((await api.get(profitAndLoss('2024-01-01', '2024-12-31'))).json).toEqual(expected);
    }
    const all = (await api.get('/api/reports/profit-and-loss')).json;
    expect([all.from, all.totals]).toMatchObject([null, [{ expense: 30 }, { expense: 290 }]]);
    expect((await api.get(profitAndLoss('2024-12-31', '2025-01-01'))).json.totals).toMatchObject([{ expense: 290 }]);
  });

  test('refuses what is no period', async () => {
    const { api } = await system.company();
    for (const query of [
      'from=2024-02-30',
      'to=2024',
      'from=2025-01-02&to=2025-01-01',
      'from=2999-01-01',
      'asOf=2024-01-01',
    ]) {
      expect([query, ...told(await api.get(`/api/reports/profit-and-loss?${query}`))]).toEqual([
        ...[query, 422, 'validation_failed'],
      ]);
    }
    expect(told(await api.get('/api/reports/balance-sheet?asOf=2024-13-01'))).toEqual([422, 'validation_failed']);
  });
});

describe('the balance sheet', () => {
  test('has the result of what is not closed as of its day apart from equity', async () => {
    const { api } = await companyOfTwoYears(system);
    const totalsOf = async (asOf: string) => (await api.get(balanceSheet(asOf))).json.totals;
    const open = [
      { currency: 'EUR', assets: 0, liabilities: 30, equity: 0, result: -30 },
      { currency: 'USD', assets: 450, liabilities: 0, equity: 0, result: 450 },
    ];
    expect(await totalsOf('2024-12-31')).toEqual(open);
    await close(api, 2024);
    expect(await totalsOf('2024-12-30')).toEqual([
      open[0],
      { currency: 'USD', assets: 700, liabilities: 0, equity: 0, result: 700 },
    ]);
    expect((await api.get(balanceSheet('2025-01-01'))).json).toEqual({
      asOf: '2025-01-01',
      items: [
        { accountCode: '1000', name: 'Bank', type: 'asset', currency: 'USD', amount: 410 },
        { accountCode: '2000', name: 'Accounts payable', type: 'liability', currency: 'EUR', amount: 30 },
        { accountCode: '3100', name: 'Retained earnings', type: 'equity', currency: 'EUR', amount: -30 },
        { accountCode: '3100', name: 'Retained earnings', type: 'equity', currency: 'USD', amount: 450 },
      ],
      totals: [
        { currency: 'EUR', assets: 0, liabilities: 30, equity: -30, result: 0 },
        { currency: 'USD', assets: 410, liabilities: 0, equity: 450, result: -40 },
      ],
    });
    await reopen(api, 2024);
    expect(await totalsOf('2024-12-31')).toEqual(open);
  });

  test('and the profit and loss tell sums beyond 2^53 in digits', async () => {
    const { api, id } = await system.company();
    for (const date of ['2024-05-05', '2024-06-05']) await post(api, date, { 1000: 7, 4000: -7 });
    await sql.as('owner', id, async (client) => {
      await client.query("SET LOCAL session_replication_role = 'replica'");
      await client.query(
        `UPDATE journal_lines l SET amount_minor = sign(l.amount_minor) * 100000000000000000
         FROM journal_entries e WHERE l.company_id = $1 AND e.id = l.entry_id AND e.entry_date > '2024-05-05'`,
        [id],
      );
    });
    const sum = '100000000000000007';
    const sheet = (await api.get('/api/reports/balance-sheet')).json;
    expect(sheet.totals).toEqual([{ currency: 'USD', assets: sum, liabilities: 0, equity: 0, result: sum }]);
    const result = (await api.get('/api/reports/profit-and-loss')).json;
    expect(result.totals).toEqual([{ currency: 'USD', income: sum, expense: 0, result: sum }]);
    expect(READ_SCHEMAS['balance_sheet']?.safeParse(sheet).error).toBeUndefined();
    expect(READ_SCHEMAS['profit_and_loss']?.safeParse(result).error).toBeUndefined();
  });
});

test('both are what the entries come to, whichever are posted and whichever years are closed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(entry, { minLength: 4, maxLength: 12 }),
      fc.array(action, { maxLength: 5 }),
      async (entries, actions) => {
        const company = await system.company();
        for (const { date, currency, from, to, amount } of entries) {
          if (from === to) continue;
          await post(company.api, date, { [from]: -amount, [to]: amount }, currency);
        }
        for (const act of actions)
          await (act === 'close'
            ? close(company.api, await nextYear(company))
            : reopen(company.api, (await nextYear(company)) - 1));
        for (const day of ['2022-12-31', '2023-06-30', '2024-12-31', '2025-03-31'])
          await expectStatements(company, day);
      },
    ),
    { numRuns: inForm({ short: 3, long: 25 }) },
  );
}, 240_000);

const TYPES: Readonly<Record<string, string>> = {
  ...{
    1000: 'asset',
    2000: 'liability',
    3000: 'equity',
    3100: 'equity',
    4000: 'income',
    5000: 'expense',
    6900: 'expense',
  },
};
const code = fc.constantFrom(...Object.keys(TYPES));
const entry = fc.record({
  date: fc.constantFrom('2022-12-31', '2023-01-01', '2023-06-30', '2024-02-29', '2024-12-31', '2025-03-31'),
  currency: fc.constantFrom('USD', 'JPY'),
  from: code,
  to: code,
  amount: fc.integer({ min: 1, max: 10 ** 13 }),
});
const action = fc.constantFrom('close', 'close', 'close', 'reopen');

async function nextYear({ api }: Company): Promise<number> {
  const { items } = (await api.get('/api/ledger/fiscal-years')).json;
  return items.findLast(({ state }: { state: string }) => state === 'open').year;
}

type Entry = {
  date: string;
  kind: string;
  lines: { accountCode: string; amount: number | string; currency: string }[];
};

/** Adds up the entries as the API lists them. */
async function expectStatements({ api }: Company, day: string): Promise<void> {
  const entries = (await api.get('/api/ledger/entries?limit=200')).json.items as Entry[];
  const sumOf = (isIn: (entry: Entry) => boolean, types: readonly string[], currency: string) =>
    entries
      .filter(isIn)
      .flatMap(({ lines }) => lines)
      .filter((line) => types.includes(TYPES[line.accountCode] ?? '') && line.currency === currency)
      .reduce((sum, { amount }) => sum + BigInt(amount), 0n);
  const until = ({ date }: Entry) => date <= day;
  const sheet = (await api.get(balanceSheet(day))).json;
  for (const { currency, ...totals } of sheet.totals) {
    const [assets, liabilities, equity, result] = [
      sumOf(until, ['asset'], currency),
      -sumOf(until, ['liability'], currency),
      -sumOf(until, ['equity'], currency),
      -sumOf(until, ['income', 'expense'], currency),
    ];
    expect(bigs(totals)).toEqual({ assets, liabilities, equity, result });
    expect(assets).toBe(liabilities + equity + result);
  }
  const from = `${day.slice(0, 4)}-01-01`;
  const within = ({ date, kind }: Entry) => date >= from && date <= day && kind === 'normal';
  const statement = (await api.get(profitAndLoss(from, day))).json;
  for (const { currency, ...totals } of statement.totals) {
    const [income, expense] = [-sumOf(within, ['income'], currency), sumOf(within, ['expense'], currency)];
    expect(bigs(totals)).toEqual({ income, expense, result: income - expense });
  }
  const listed = new Set(entries.filter(until).flatMap(({ lines }) => lines.map(({ currency }) => currency)));
  expect(sheet.totals.map(({ currency }: { currency: string }) => currency)).toEqual([...listed].toSorted());
}

function bigs(amounts: Readonly<Record<string, number | string>>) {
  return Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, BigInt(amount)]));
}
