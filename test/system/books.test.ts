import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { taxShare } from '../../activities/ledger/tax-share.ts';
import { memberAt, partsOf, stepsOf } from '../support/books-page.ts';
import type { Company } from '../support/companies.ts';
import { exportedCsv } from '../support/export-lines.ts';
import { entriesOf, MATCHED, MEMBERS, playPage } from '../support/play-page.ts';
import { ENTRY, ENTRY_OF_CURRENCIES, printed, STATEMENTS } from '../support/printed-statements.ts';
import { startRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';

const pageOf = (name: string) => partsOf(readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8'));
const parts = pageOf('books.md');
/** The one page goes on where the other ends. */
const year = [...stepsOf(pageOf('a-year.md')), ...stepsOf(parts)];
const tableOf = (...head: string[]) =>
  parts.flatMap((part) => (part.kind === 'table' && part.head.join() === head.join() ? part.rows : []));
const CHART = ['Code', 'Name', 'Type'];
const POSTS = ['Operation', 'Entry', 'Dated'];
const HOLDS = ['Control', 'Rule', 'Closes a month'];
const SHARES = ['Written off', 'So far', 'Tax of it', 'Share'];
const MONTHS = ['Month', 'What happens'];
const REPORTS = ['`GET /api/reports/…`', 'Answers', 'Is tied to'];

describe('the page of the books', () => {
  let system: System;
  let relay: Awaited<ReturnType<typeof startRelay>>;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    // Starts the workflow that closes a month.
    relay = await startRelay(system);
    company = await system.company('Harbour Lamps');
  });
  afterAll(async () => {
    await relay.close();
    await system.stop();
  });

  test('has the chart of accounts of a new company', async () => {
    const { items } = (await company.api.get('/api/ledger/accounts?limit=200')).json;
    const accounts = items.map(({ code, name, type }: Record<string, string>) => [code, name, type]);
    expect(tableOf(...CHART)).toEqual(accounts.toSorted());
  });

  test('shows no figures but those that are compared', () => {
    const shown = [...parts, ...year.flatMap((step) => step.shown)];
    const heads = new Set(shown.flatMap((part) => (part.kind === 'table' ? [part.head.join()] : [])));
    const compared = [ENTRY, ENTRY_OF_CURRENCIES, MEMBERS, MATCHED, ...STATEMENTS.map(([head]) => head)];
    const others = [CHART, POSTS, HOLDS, SHARES, REPORTS, MONTHS];
    expect(heads).toEqual(new Set([...others, ...compared].map((head) => head.join())));
    expect(new Set(year.map(({ request }) => request.name)).size).toBe(year.length);
    expect(year.length).toBeGreaterThan(100);
  });

  test('has the shares of the tax of an invoice over 541 with a tax of 41', () => {
    let before = 0n;
    const shares = tableOf(...SHARES).map(([amount = '']) => {
      const [amountMinor, beforeMinor] = [BigInt(amount), before];
      before += amountMinor;
      const share = taxShare({ totalMinor: 541n, taxMinor: 41n, beforeMinor, amountMinor });
      return [amount, `${before}`, `${Math.round((4100 * Number(before)) / 541) / 100}`, `${share}`];
    });
    expect(shares).toHaveLength(3);
    expect(tableOf(...SHARES)).toEqual(shares);
  });

  test('has the reports with their parameters and the members of their answers', async () => {
    const document = (await company.api.get('/openapi.json')).json;
    const rows = tableOf(...REPORTS);
    expect(rows).toHaveLength(8);
    for (const [request = '', answers = ''] of rows) {
      const [name, ...asked] = request.match(/[\w-]+/g) ?? [];
      const read = resolved(document.paths[`/api/reports/${name}`]?.get, document);
      expect([name, namesIn(read, 'parameters')]).toEqual([name, expect.arrayContaining(asked)]);
      const told = answers.match(/`\{(.+)\}`/)?.[1]?.match(/\w+/g) ?? [];
      expect([name, namesIn(read, 'responses')]).toEqual([name, expect.arrayContaining(told)]);
    }
  });

  test('has a year that happens as it says, to the last figure', async () => {
    await playPage(year, company);
    await expectEntriesAsSaid();
    await expectYearFromExport();
  }, 240_000);

  /** Each account of each entry stands in what the page says of its operation, on that side or as either. */
  async function expectEntriesAsSaid(): Promise<void> {
    const said = new Map(tableOf(...POSTS).map(([name = '', entry = '']) => [name, entry]));
    const [accounts, entries] = [await accountsOf(company), await entriesOf(company)];
    const codesOf = (lines: readonly { accountCode: string }[] = []) => lines.map(({ accountCode }) => accountCode);
    for (const { source, lines, reverses } of entries) {
      if (source.operation === 'createJournalEntry') continue;
      const text = said.get(source.operation) ?? '';
      const named = accounts.filter(
        ({ code, type, isBank }) =>
          text.includes(code) || (isBank && /bank ?account/i.test(text)) || new RegExp(`\\b${type}\\b`).test(text),
      );
      const mirrored = text.includes('mirror') ? entries.find(({ id }) => id === reverses) : undefined;
      const codes = [...named.map(({ code }) => code), ...codesOf(mirrored?.lines)];
      expect([source.operation, codes]).toEqual([source.operation, expect.arrayContaining(codesOf(lines))]);
    }
    const posted = new Set(entries.map(({ source }) => source.operation));
    expect([...said.keys()].filter((name) => !posted.has(name))).toEqual(NOT_IN_THE_YEAR);
  }

  /**
   * The year from the exported file alone, line by line: every entry sums to zero, the profit is what the company has more
   * than its owner has paid in, closing has moved just that, and the last balance sheet of the page says so.
   */
  async function expectYearFromExport(): Promise<void> {
    const types = new Map((await accountsOf(company)).map(({ code, type }) => [code, type]));
    const lines = (await exportedCsv(company.api, '?from=2025-01-01&to=2025-12-31')).map((line) => ({
      code: line['accountCode'] ?? '',
      type: types.get(line['accountCode'] ?? '') ?? '',
      entry: `${line['entryId']} ${line['currency']}`,
      currency: line['currency'] ?? '',
      amount: Number(line['amount']),
      closes: /^(close|reopen)FiscalYear$/.test(line['operation'] ?? ''),
    }));
    type Exported = (typeof lines)[number];
    const sumOf = (counts: (line: Exported) => boolean) =>
      lines.filter(counts).reduce((sum, { amount }) => sum + amount, 0);
    for (const entry of new Set(lines.map((line) => line.entry))) expect(sumOf((line) => line.entry === entry)).toBe(0);

    const sheet = figuresOf('closedBalanceSheet');
    const currencies = [...new Set(lines.map(({ currency }) => currency))];
    expect(currencies.toSorted()).toEqual(['EUR', 'USD']);
    for (const currency of currencies) {
      const own = lines.filter((line) => line.currency === currency);
      const within = (type: RegExp, closes: boolean) =>
        sumOf((line) => line.currency === currency && type.test(line.type) && line.closes === closes);
      const profit = -within(RESULT, false);
      const netAssets = within(/^(asset|liability)$/, false);
      expect(profit).toBe(netAssets + within(/^equity$/, false));
      expect([within(/^(asset|liability)$/, true), within(/^equity$/, true)]).toEqual([0, -profit]);
      expect([sheet[`3100 ${currency}`], sheet[`equity ${currency}`]]).toEqual([printed(profit), printed(netAssets)]);

      const balances = [...new Set(own.map(({ code }) => code))].map((code) => {
        const balance = sumOf((line) => line.currency === currency && line.code === code);
        return { code, type: types.get(code) ?? '', balance };
      });
      expect(balances.filter(({ type, balance }) => RESULT.test(type) && balance !== 0)).toEqual([]);
      const stays = balances.filter(({ type }) => !RESULT.test(type));
      const figures = stays.map(({ code, type, balance }) => [
        `${code} ${currency}`,
        printed(type === 'asset' ? balance : -balance),
      ]);
      expect(sheet).toMatchObject(Object.fromEntries(figures));
    }
  }
});

const RESULT = /^(income|expense)$/;

/** What posts and has no case on the page. */
const NOT_IN_THE_YEAR = ['voidRefund', 'voidCreditNote', 'reverseJournalEntry'];

type Account = { readonly code: string; readonly name: string; readonly type: string; readonly isBank: boolean };

async function accountsOf({ api }: Company): Promise<readonly Account[]> {
  return (await api.get('/api/ledger/accounts?limit=200')).json.items;
}

/** What the page prints behind that request, by account or total and currency. */
function figuresOf(name: string): Readonly<Record<string, string>> {
  const { shown } = year.find(({ request }) => request.name === name) ?? { shown: [] };
  const rows = shown.flatMap((part) => (part.kind === 'table' ? part.rows : []));
  return Object.fromEntries(
    rows.map(([account = '', total = '', currency, figure = '']) => [
      `${account === 'Total' ? total : account} ${currency}`,
      figure,
    ]),
  );
}

type Json = Readonly<Record<string, unknown>>;

/** With what each `$ref` stands for in its place. */
function resolved(value: unknown, document: Json): Json {
  return JSON.parse(
    JSON.stringify(value ?? null, (_, part) => {
      const ref: unknown = part?.$ref;
      return typeof ref === 'string' ? memberAt(document, ref.slice('#/'.length).replaceAll('/', '.')) : part;
    }),
  );
}

/** The names of an endpoint's parameters, or of all members of its answers. */
function namesIn(read: Json | null, where: 'parameters' | 'responses'): string[] {
  if (where === 'parameters') return ((read?.['parameters'] ?? []) as { name: string }[]).map(({ name }) => name);
  const names: string[] = [];
  JSON.stringify((read?.['responses'] as Json | undefined)?.['200'], (key, part) => {
    if (key === 'properties') names.push(...Object.keys(part));
    return part;
  });
  return names;
}
