import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { filledIn, memberAt, minorUnits, type PagePart, partsOf } from '../support/books-page.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';

const parts = partsOf(readFileSync(new URL('../../docs/books.md', import.meta.url), 'utf8'));
const tableOf = (...head: string[]) =>
  parts.flatMap((part) => (part.kind === 'table' && part.head.join() === head.join() ? part.rows : []));
const CHART = ['Code', 'Name', 'Type'];
const POSTS = ['Operation', 'Entry', 'Dated'];
const HOLDS = ['Control', 'Rule', 'Closes a month'];

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
    expect(heads).toEqual(new Set([CHART, POSTS, HOLDS, ENTRY, MEMBERS].map((head) => head.join())));
    expect(parts.filter(({ kind }) => kind === 'request').length).toBeGreaterThan(20);
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
