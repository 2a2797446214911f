import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { RunningApi } from '../../api/app.ts';
import { actors, claimByHand } from '../support/actors.ts';
import { bankRow } from '../support/bank.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { expectOneStory } from '../support/one-story.ts';
import { type System, startSystem } from '../support/system.ts';
import { walk } from '../support/walk.ts';

const IMPORT = '/api/bank-transactions/import';

let system: System;
let company: Company;
let other: RunningApi;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  other = await system.another();
});
afterAll(() => system.stop());

const told = ({ status, json }: Answer) => [status, json.code];
const results = ({ json }: Answer) => json.items.map(({ result }: { result: string }) => result);
const stored = async (of: Company = company): Promise<number> =>
  (await system.owner.query('SELECT count(*)::int AS n FROM bank_transactions WHERE company_id = $1', [of.id])).rows[0]
    .n;

describe('what a bank says', () => {
  test('is taken in as it is, in the order of the file, and found by its import', async () => {
    const transactions = [
      bankRow(2500, { date: '2026-02-03', description: 'In' }),
      bankRow(-10_000_000_000_000, { date: '2026-02-01' }),
      bankRow(7, { date: '2026-02-02', currency: 'EUR' }),
    ];
    const answer = await company.api.post(IMPORT, { transactions });
    expect(answer.status).toBe(200);
    expect(answer.json.items.map(({ bankReference }: { bankReference: string }) => bankReference)).toEqual(
      transactions.map(({ bankReference }) => bankReference),
    );
    expect(results(answer)).toEqual(['imported', 'imported', 'imported']);
    const location = answer.headers.get('location') ?? '';
    expect(location).toMatch(/^\/api\/bank-transactions\?import=[0-9a-f-]{36}$/);
    const { items, nextCursor } = (await company.api.get(location)).json;
    expect(nextCursor).toBeNull();
    expect(items).toMatchObject([
      { ...transactions[0], accountCode: '1000', status: 'unreconciled', journalLineIds: [], differenceEntryId: null },
      transactions[2],
      transactions[1],
    ]);
    for (const item of items) {
      expect((await company.api.get(`/api/bank-transactions/${item.id}`)).json).toEqual(item);
    }
  });

  test('comes with a write resource that leads to the list', async () => {
    const answer = await company.api.post(IMPORT, { transactions: [bankRow(1)] }, { key: 'told' });
    const { location, resource, response } = (await company.api.get('/api/writes/told')).json;
    expect(location).toBe(answer.headers.get('location'));
    expect(resource).toMatchObject({ type: 'bankImport', url: location });
    expect(response).toEqual(answer.json);
  });

  test('is known the second time, also within one file, where its content is the same', async () => {
    const row = bankRow(99);
    const first = await company.api.post(IMPORT, { transactions: [row, bankRow(98), row] });
    expect(results(first)).toEqual(['imported', 'imported', 'already_known']);
    expect(first.json.items[2].id).toBe(first.json.items[0].id);
    const second = await company.api.post(IMPORT, { transactions: [bankRow(97), row] });
    expect(results(second)).toEqual(['imported', 'already_known']);
    expect(second.json.items[1].id).toBe(first.json.items[0].id);
    const listed = (await company.api.get(second.headers.get('location') ?? '')).json.items;
    expect(listed.map(({ id }: { id: string }) => id)).toEqual([second.json.items[0].id]);
  });

  test.each([
    ['amount', { amount: 11 }],
    ['date', { date: '2026-02-13' }],
    ['currency', { currency: 'EUR' }],
    ['description', { description: 'Another transfer' }],
  ])('is a conflict where the %s is another one: nothing is imported, and the row is named', async (_what, change) => {
    const row = bankRow(10);
    await company.api.created(IMPORT, { transactions: [row] });
    const before = await stored();
    const answer = await company.api.post(IMPORT, { transactions: [bankRow(1), { ...row, ...change }, bankRow(2)] });
    expect(told(answer)).toEqual([409, 'bank_reference_conflict']);
    expect(answer.json.errors).toEqual([{ in: 'body', pointer: '/transactions/1/bankReference' }]);
    const twice = bankRow(10);
    const inOneFile = await company.api.post(IMPORT, { transactions: [twice, { ...twice, ...change }] });
    expect(told(inOneFile)).toEqual([409, 'bank_reference_conflict']);
    expect(await stored()).toBe(before);
  });

  test('is of one account: another has references of its own', async () => {
    await company.api.created('/api/ledger/accounts', { code: '1010', name: 'Savings', type: 'asset', isBank: true });
    const row = bankRow(10);
    await company.api.created(IMPORT, { transactions: [row] });
    const answer = await company.api.post(IMPORT, { accountCode: '1010', transactions: [{ ...row, amount: 20 }] });
    expect(results(answer)).toEqual(['imported']);
  });

  test.each(['1100', '4000', '9999'])('is not of account %s, which is no bank', async (accountCode) => {
    const before = await stored();
    const answer = await company.api.post(IMPORT, { accountCode, transactions: [bankRow(10)] });
    expect(told(answer)).toEqual([422, 'account_not_usable']);
    expect(answer.json.errors).toEqual([{ in: 'body', pointer: '/accountCode' }]);
    expect(await stored()).toBe(before);
  });

  test.each([
    ['none', [], '/transactions'],
    ['1,001', Array.from({ length: 1_001 }, () => bankRow(1)), '/transactions'],
    ['a zero', [bankRow(0)], '/transactions/0/amount'],
    ['too much', [bankRow(-10_000_000_000_001)], '/transactions/0/amount'],
    ['an unknown currency', [bankRow(1, { currency: 'XXX' })], '/transactions/0/currency'],
  ])('is malformed with %s', async (_what, transactions, pointer) => {
    const answer = await company.api.post(IMPORT, { transactions });
    expect(told(answer)).toEqual([422, 'validation_failed']);
    expect(answer.json.errors[0].pointer).toBe(pointer);
  });
});

describe('a file of 1,000', () => {
  test('imported twice under one key is a replay, and under another all known', async () => {
    const own = await system.company();
    const transactions = Array.from({ length: 1_000 }, (_, n) => bankRow(n + 1, { bankReference: `row ${n}` }));
    const first = await own.api.post(IMPORT, { transactions }, { key: 'file' });
    const again = await own.api.post(IMPORT, { transactions }, { key: 'file' });
    expectOneStory([first, again], { status: 200, firsts: 1 });
    expect(new Set(results(first))).toEqual(new Set(['imported']));
    const anew = await own.api.post(IMPORT, { transactions: transactions.toReversed() });
    expect(new Set(results(anew))).toEqual(new Set(['already_known']));
    expect(await stored(own)).toBe(1_000);
    expect(await walk(own.api, first.headers.get('location') as '/api/x', { limit: 200 })).toHaveLength(1_000);
  });

  test('imported by ten at once is there once', async () => {
    const own = await system.company();
    const transactions = Array.from({ length: 200 }, (_, n) => bankRow(n + 1, { bankReference: `${n}` }));
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        (n % 2 === 0 ? own.api : own.as('owner', other.url)).post(
          IMPORT,
          { transactions: n % 3 === 0 ? transactions.toReversed() : transactions },
          { headers: { prefer: 'wait=60' } },
        ),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(answers.flatMap(results).filter((result) => result === 'imported')).toHaveLength(200);
  });

  test('imported at the same moment in opposite orders meets no deadlock', async () => {
    const rows = Array.from({ length: 1_000 }, (_, n) => bankRow(n + 1));
    const sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
    const claimed = countdown(2);
    const imported: number[] = [];
    const importing = [rows, rows.toReversed()].map((file) =>
      sql.as('application', company.id, async (client) => {
        const writeId = await claimByHand(client, company.id, company.users.owner.id);
        await claimed();
        const withIds = JSON.stringify(file.map((row) => ({ ...row, id: randomUUID() })));
        const { rows: counts } = await client.query(
          "SELECT count(*) FILTER (WHERE result = 'imported')::int AS n FROM import_bank_transactions($1, $2, '1000', $3)",
          [company.id, writeId, withIds],
        );
        imported.push(counts[0].n);
        // Which lets the other one have all of them.
        throw new Error('taken back');
      }),
    );
    const ends = await Promise.allSettled(importing);
    await sql.end();
    expect(ends.map((end) => end.status === 'rejected' && end.reason.message)).toEqual(['taken back', 'taken back']);
    expect(imported).toEqual([1_000, 1_000]);
  });

  /** Resolves for all when so many have come to it. */
  function countdown(count: number): () => Promise<void> {
    let left = count;
    let open = () => {};
    const all = new Promise<void>((resolve) => {
      open = resolve;
    });
    return () => {
      left -= 1;
      if (left === 0) open();
      return all;
    };
  }
});

describe('bank transactions are listed', () => {
  test('by import and by state', async () => {
    const own = await system.company();
    const ids = async (query: string) =>
      (await walk(own.api, `/api/bank-transactions?${query}`)).map(({ id }: { id: string }) => id);
    const [a, b] = (await own.api.created(IMPORT, { transactions: [bankRow(1), bankRow(2)] })).items;
    const answer = await own.api.post(IMPORT, { transactions: [bankRow(3)] });
    const [c] = answer.json.items;
    await own.api.created(`/api/ledger/reconcile/${b.id}`, { matches: [], differenceAccountCode: '6900' });
    expect((await ids('')).toSorted()).toEqual(([a.id, b.id, c.id] as string[]).toSorted());
    expect(await ids('status=reconciled')).toEqual([b.id]);
    expect((await ids('status=unreconciled')).toSorted()).toEqual(([a.id, c.id] as string[]).toSorted());
    expect(await ids((answer.headers.get('location') ?? '').split('?')[1] ?? '')).toEqual([c.id]);
    expect(await ids(`import=${randomUUID()}`)).toEqual([]);
    expect(told(await own.api.get('/api/bank-transactions?import=x'))).toEqual([422, 'validation_failed']);
    expect(told(await own.api.get(`/api/bank-transactions/${randomUUID()}`))).toEqual([
      404,
      'bank_transaction_not_found',
    ]);
  });
});

test.each(['manager', 'auditor'] as const)('%s imports nothing, and reads all of it', async (role) => {
  expect(told(await company.as(role).post(IMPORT, { transactions: [bankRow(1)] }))).toEqual([403, 'forbidden']);
  expect((await company.as(role).get('/api/bank-transactions')).status).toBe(200);
  expect((await company.as('accountant').post(IMPORT, { transactions: [bankRow(1)] })).status).toBe(200);
});

test('after all this, every control of the books holds', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
