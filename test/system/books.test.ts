import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { taxShare } from '../../activities/ledger/tax-share.ts';
import { filledIn, memberAt, minorUnits, type PagePart, partsOf } from '../support/books-page.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';

const parts = partsOf(readFileSync(new URL('../../docs/books.md', import.meta.url), 'utf8'));
const tableOf = (...head: string[]) =>
  parts.flatMap((part) => (part.kind === 'table' && part.head.join() === head.join() ? part.rows : []));
const CHART = ['Code', 'Name', 'Type'];
const POSTS = ['Operation', 'Entry', 'Dated'];
const HOLDS = ['Control', 'Rule', 'Closes a month'];
const SHARES = ['Written off', 'So far', 'Tax of it', 'Share'];
const REPORTS = ['`GET /api/reports/…`', 'Answers', 'Is tied to'];

type Request = Extract<PagePart, { kind: 'request' }>;
type Table = Extract<PagePart, { kind: 'table' }>;
type Posted = readonly (readonly [account: string, debitMinor: number, creditMinor: number])[];
type Line = { readonly accountCode: string; readonly amount: number };

describe('the page of the books', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company('Harbour Lamps');
  });
  afterAll(() => system.stop());

  test('has the chart of accounts of a new company', async () => {
    const { items } = (await company.api.get('/api/ledger/accounts?limit=200')).json;
    const accounts = items.map(({ code, name, type }: Record<string, string>) => [code, name, type]);
    expect(tableOf(...CHART)).toEqual(accounts.toSorted());
  });

  test('shows no figures but those that are compared', () => {
    const heads = new Set(parts.flatMap((part) => (part.kind === 'table' ? [part.head.join()] : [])));
    expect(heads).toEqual(new Set([CHART, POSTS, HOLDS, ENTRY, MEMBERS, SHARES, REPORTS].map((head) => head.join())));
    expect(parts.filter(({ kind }) => kind === 'request').length).toBeGreaterThan(20);
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
    expect(rows).toHaveLength(5);
    for (const [request = '', answers = ''] of rows) {
      const [name, ...asked] = request.match(/[\w-]+/g) ?? [];
      const read = resolved(document.paths[`/api/reports/${name}`]?.get, document);
      expect([name, namesIn(read, 'parameters')]).toEqual([name, expect.arrayContaining(asked)]);
      const told = answers.match(/`\{(.+)\}`/)?.[1]?.match(/\w+/g) ?? [];
      expect([name, namesIn(read, 'responses')]).toEqual([name, expect.arrayContaining(told)]);
    }
  });

  test('has a month that happens as it says, to the last figure', async () => {
    const answers = new Map<string, unknown>();
    for (const [request, shown] of requestsWithWhatFollows()) {
      const answer = await send(request, answers);
      const refusal = shown.find((part) => part.kind === 'refusal')?.answer;
      const outcome = answer.status < 300 ? undefined : `${answer.status} ${answer.json.code}`;
      expect([request.name, outcome]).toEqual([request.name, refusal]);
      answers.set(request.name, answer.json);

      const tables = shown.filter((part): part is Table => part.kind === 'table');
      const entries = tables.filter(({ head }) => head.join() === ENTRY.join()).map(({ rows }) => postedIn(rows));
      const found = request.method === 'GET' ? balanceIn(answer.json) : await postedBy(request.name);
      expect([request.name, entries.map(byAccount)]).toEqual([
        request.name,
        found.length === 0 ? [] : [byAccount(found)],
      ]);
      for (const [member = '', value] of tables
        .filter(({ head }) => head.join() === MEMBERS.join())
        .flatMap(({ rows }) => rows)) {
        expect([request.name, member, String(memberAt(answer.json, member))]).toEqual([request.name, member, value]);
      }
    }
    await expectEntriesAsSaid();
  });

  function send({ name, method, path, body }: Request, answers: ReadonlyMap<string, unknown>) {
    const url = filledIn(path, answers);
    if (method === 'GET') return company.api.get(url);
    return company.api.post(url, filledIn(body, answers), {
      method: method === 'PATCH' ? 'PATCH' : 'POST',
      key: name,
      headers: { prefer: 'wait=60' },
    });
  }

  /** The entry of the write under that key; none posted is an empty one. */
  async function postedBy(key: string): Promise<Posted> {
    const { writeId } = (await company.api.get(`/api/writes/${key}`)).json;
    const entries = await allEntries();
    const own = entries.filter(({ source }) => source.writeId === writeId);
    expect(own.length).toBeLessThanOrEqual(1);
    return (own[0]?.lines ?? []).map(({ accountCode, amount }) => sides(accountCode, amount));
  }

  async function allEntries() {
    const { items } = (await company.api.get('/api/ledger/entries?limit=200')).json;
    return items as { source: { operation: string; writeId: string }; lines: Line[] }[];
  }

  /** Each account of each entry stands in what the page says of its operation, on that side or as either. */
  async function expectEntriesAsSaid(): Promise<void> {
    const said = new Map(tableOf(...POSTS).map(([name = '', entry = '']) => [name, entry]));
    const entries = (await allEntries()).filter(({ source }) => source.operation !== 'createJournalEntry');
    expect(entries.length).toBeGreaterThan(8);
    for (const { source, lines } of entries) {
      const codes = said.get(source.operation)?.match(/\b\d{4}\b/g) ?? [];
      expect([source.operation, codes]).toEqual([
        source.operation,
        expect.arrayContaining(lines.map(({ accountCode }) => accountCode)),
      ]);
    }
  }
});

const ENTRY = ['Account', 'Debit', 'Credit'];
const MEMBERS = ['Member', 'Value'];

/** Each request of the page with the tables and the refusal between it and the next one. */
function requestsWithWhatFollows(): [Request, PagePart[]][] {
  const requests: [Request, PagePart[]][] = [];
  for (const part of parts) {
    if (part.kind === 'request') requests.push([part, []]);
    else requests.at(-1)?.[1].push(part);
  }
  return requests;
}

function postedIn(rows: readonly (readonly string[])[]): Posted {
  return rows.map(([account = '', debit = '', credit = '']) => [account, minorUnits(debit), minorUnits(credit)]);
}

/** On the page debits come first; the API has lines in an order of its own. */
function byAccount(lines: Posted): Posted {
  return lines.toSorted(([one], [other]) => (one < other ? -1 : 1));
}

function sides(account: string, amountMinor: number): readonly [string, number, number] {
  return [account, Math.max(amountMinor, 0), Math.max(-amountMinor, 0)];
}

/** A trial balance with its total as the last row; nothing for the answer to another read. */
function balanceIn(json: { items?: Balance[]; totals?: Balance[] }): Posted {
  if (json.totals === undefined) return [];
  const row = ({ accountCode = 'Total', debit, credit }: Balance) => [accountCode, debit, credit] as const;
  return [...(json.items ?? []), ...json.totals].map(row);
}

type Balance = { readonly accountCode?: string; readonly debit: number; readonly credit: number };

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
