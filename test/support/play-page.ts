import { expect } from 'vitest';
import { filledIn, memberAt, type PageRequest, type PageTable, type Step } from './books-page.ts';
import { type Answer, type ApiClient, patiently } from './client.ts';
import type { Company } from './companies.ts';
import { until } from './held-invoice.ts';
import { ENTRY_OF_CURRENCIES, type Line, printedEntry, STATEMENTS } from './printed-statements.ts';

export const MEMBERS = ['Member', 'Value'];
export const MATCHED = ['Bank transaction', 'Entry of'];

export type Entry = {
  readonly id: string;
  readonly reverses: string | null;
  readonly source: { readonly operation: string; readonly writeId: string };
  readonly lines: readonly (Line & { readonly id: string })[];
};

/** `answers`: so far, by the names of the requests. */
type Played = { readonly company: Company; readonly answers: Map<string, unknown> };
/** A write that waits for an approval would be waited for, too. */
type Prefer = { readonly prefer?: string };

/** Sends the requests of a page in their order, and compares each figure that stands behind them. */
export async function playPage(steps: readonly Step[], company: Company): Promise<void> {
  const played: Played = { company, answers: new Map() };
  for (const step of steps) await play(step, played);
}

async function play({ request, shown }: Step, played: Played): Promise<void> {
  const { name, method } = request;
  const announced = shown.find((part) => part.kind === 'answer')?.answer;
  const answer = await send(request, played, announced?.startsWith('202') ? {} : { prefer: 'wait=60' });
  expect([name, outcomeOf(answer)]).toEqual([name, announced]);
  played.answers.set(name, answer.json);

  const tables = shown.filter((part) => part.kind === 'table');
  for (const { rows } of tables.filter(isOf(MEMBERS))) expectMembers(name, rows, played);
  if (method === 'GET') expectStatements(name, tables, answer);
  else await expectEntry({ request, shown }, played.company);
  for (const { rows } of tables.filter(isOf(MATCHED))) await reconcile(rows, played.company);
}

const isOf =
  (...heads: readonly (readonly string[])[]) =>
  ({ head }: PageTable) =>
    heads.some((one) => one.join() === head.join());

/** Nothing for a success; a write that waits for an approval has not succeeded yet. */
function outcomeOf({ status, json }: Answer): string | undefined {
  if (status === 202) return `${status} ${json.state}`;
  return status < 300 ? undefined : `${status} ${json.code}`;
}

const DECISION = /^\/api\/writes\/(\w+)\/approve$/;

function send({ name, role, method, path, body }: PageRequest, { company, answers }: Played, prefer: Prefer) {
  const api = company.as(role);
  const [url, content] = [filledIn(path, answers), filledIn(body, answers)];
  if (method === 'GET') return read(api, url);
  if (!DECISION.test(url)) {
    const how = { method: method === 'PATCH' ? 'PATCH' : 'POST', key: name, headers: prefer } as const;
    return patiently(() => api.post(url, content, how));
  }
  // A decision has no key of its own, and needs no body.
  const comment = content === '' ? {} : { body: content };
  const type = content === '' ? {} : { 'content-type': 'application/json' };
  return patiently(() => api.send('POST', url, { ...comment, headers: { ...prefer, ...type } }));
}

/** What a triggered workflow has come to is there once it has ended. */
async function read(api: ApiClient, url: string): Promise<Answer> {
  let answer = await api.get(url);
  if (url.startsWith('/api/workflows/triggers/')) {
    await until('the result of the workflow', async () => {
      answer = await api.get(url);
      return answer.json.result !== null;
    });
  }
  return answer;
}

function expectMembers(name: string, rows: PageTable['rows'], { answers }: Played): void {
  for (const [member = '', value = ''] of rows) {
    const found = String(memberAt(answers.get(name), member));
    expect([name, member, found]).toEqual([name, member, filledIn(value, answers)]);
  }
}

function expectStatements(name: string, tables: readonly PageTable[], { json }: Answer): void {
  for (const { head, rows } of tables.filter((table) => !isOf(MEMBERS, MATCHED)(table))) {
    const print = STATEMENTS.find(([one]) => one.join() === head.join())?.[1];
    expect([name, print?.(json)]).toEqual([name, rows]);
  }
}

/** The entry of the write under the request's name, or of the write that it approves; none where the page shows none. */
async function expectEntry({ request: { name, path }, shown }: Step, company: Company): Promise<void> {
  const entry = await entryOf(DECISION.exec(path)?.[1] ?? name, company);
  const mirrored = shown.find((part) => part.kind === 'mirror')?.of;
  if (mirrored !== undefined) {
    const original = await entryOf(mirrored, company);
    expect([name, mirrored, original]).toEqual([name, mirrored, expect.anything()]);
    expect([name, entry?.reverses]).toEqual([name, original?.id]);
    const back = original?.lines.map((line) => ({ ...line, amount: -line.amount }));
    expect([name, entryRows(entry?.lines)]).toEqual([name, entryRows(back)]);
    return;
  }
  const tables = shown.filter((part) => part.kind === 'table').filter((table) => !isOf(MEMBERS, MATCHED)(table));
  expect([name, tables.length]).toEqual([name, entry === undefined ? 0 : 1]);
  for (const table of tables) {
    const withCurrency = isOf(ENTRY_OF_CURRENCIES)(table);
    const shownRows = table.rows.toSorted((one, other) => (one.join() < other.join() ? -1 : 1));
    expect([name, entryRows(entry?.lines, withCurrency)]).toEqual([name, shownRows]);
  }
}

const entryRows = (lines: readonly Line[] = [], withCurrency = true) => printedEntry(lines, { withCurrency });

/** A write makes at most one entry. */
async function entryOf(key: string, company: Company): Promise<Entry | undefined> {
  return entryAmong(await entriesOf(company), key, company);
}

async function entryAmong(entries: readonly Entry[], key: string, { api }: Company): Promise<Entry | undefined> {
  const { writeId } = (await api.get(`/api/writes/${key}`)).json;
  const own = entries.filter(({ source }) => source.writeId === writeId);
  expect(own.length).toBeLessThanOrEqual(1);
  return own[0];
}

/** All of them: a page has fewer than fit on one page of the list. */
export async function entriesOf(company: Company): Promise<readonly Entry[]> {
  const { items, nextCursor } = (await company.api.get('/api/ledger/entries?limit=200')).json;
  expect(nextCursor).toBeNull();
  return items;
}

/** Each bank transaction with the lines of its account in the entry of that request, without a difference. */
async function reconcile(rows: PageTable['rows'], company: Company): Promise<void> {
  const { items } = (await company.api.get('/api/bank-transactions?limit=200')).json;
  const entries = await entriesOf(company);
  for (const [reference = '', name = ''] of rows) {
    const transaction = items.find((one: { bankReference: string }) => one.bankReference === reference);
    const lines = (await entryAmong(entries, name, company))?.lines ?? [];
    const own = lines.filter(({ accountCode }) => accountCode === transaction?.accountCode);
    const reconciled = await company.api.created(
      `/api/ledger/reconcile/${transaction?.id}`,
      { matches: own.map(({ id }) => ({ journalLineId: id })) },
      { key: `${reference}-reconciled` },
    );
    expect([reference, reconciled.status, reconciled.differenceEntryId]).toEqual([reference, 'reconciled', null]);
  }
}
