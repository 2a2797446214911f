import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { bankLine, bankTransaction, matching, postManually, reconciledBankTransaction } from '../support/bank.ts';
import { closeBooks, readEntry } from '../support/books.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { expectOneStory } from '../support/one-story.ts';
import { said } from '../support/said.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  await company.api.created('/api/ledger/accounts', { code: '1010', name: 'Savings', type: 'asset', isBank: true });
});
afterAll(() => system.stop());

const told = ({ status, json }: Answer) => [status, json.code];
const times = <T>(count: number, make: (index: number) => T) => Array.from({ length: count }, (_, n) => make(n));
const reconcile = (id: string) => `/api/ledger/reconcile/${id}`;
const unreconcile = (id: string) => `/api/ledger/unreconcile/${id}`;
const reversal = (entryId: string) => `/api/ledger/entries/${entryId}/reverse`;
const read = async (id: string) => (await company.api.get(`/api/bank-transactions/${id}`)).json;
const withDifference = (...lineIds: string[]) => ({ ...matching(...lineIds), differenceAccountCode: '6900' });

describe('a bank transaction is reconciled', () => {
  test('with lines that sum to it, and nothing is posted', async () => {
    const [one, two] = [await bankLine(company.api, 700), await bankLine(company.api, -200)];
    const id = await bankTransaction(company.api, 500);
    const body = matching(one.lineId, two.lineId);
    const first = await company.api.post(reconcile(id), body, { key: 'sum' });
    const again = await company.api.post(reconcile(id), body, { key: 'sum' });
    expectOneStory([first, again], { status: 200, firsts: 1 });
    expect(first.headers.get('location')).toBe(`/api/bank-transactions/${id}`);
    expect(first.json).toMatchObject({
      id,
      status: 'reconciled',
      journalLineIds: [one.lineId, two.lineId].toSorted(),
      differenceEntryId: null,
    });
    expect(await read(id)).toEqual(first.json);
    const effects = { companyId: company.id, table: 'bank_transactions', key: 'sum' };
    expect(await countEffects(system.owner, effects)).toMatchObject({ writes: 1, entries: 0, newAudit: 1, events: 1 });
  });

  test('with the line of a payment', async () => {
    const payment = await company.api.created('/api/payments', paymentBody(await company.invoice(), 321));
    const entry = (await company.api.get(`/api/ledger/entries/${payment.journalEntryId}`)).json;
    const id = await bankTransaction(company.api, 321);
    await company.api.created(reconcile(id), matching(entry.lines[0].id));
    expect(await read(id)).toMatchObject({ status: 'reconciled' });
  });

  test.each([
    [
      'a charge that was kept back',
      970,
      1_000,
      [
        ['1000', -30, 'USD'],
        ['6900', 30, 'USD'],
      ],
    ],
    [
      'more than the books have',
      1_030,
      1_000,
      [
        ['1000', 30, 'USD'],
        ['6900', -30, 'USD'],
      ],
    ],
    [
      'a larger outflow',
      -1_030,
      -1_000,
      [
        ['1000', -30, 'USD'],
        ['6900', 30, 'USD'],
      ],
    ],
  ])('with a difference, for %s', async (_what, bank, books, lines) => {
    const { lineId } = await bankLine(company.api, books);
    const id = await bankTransaction(company.api, bank, { date: '2026-02-19' });
    const answer = await company.api.created(reconcile(id), withDifference(lineId));
    expect(await readEntry(system.owner, company.id, answer.differenceEntryId)).toEqual({
      date: '2026-02-19',
      operation: 'reconcileLedger',
      lines,
    });
    const entry = (await company.api.get(`/api/ledger/entries/${answer.differenceEntryId}`)).json;
    expect(answer.journalLineIds).toEqual([lineId, entry.lines[0].id as string].toSorted());
  });

  test('without any line, where the whole of it is the difference, on its own account and in its own currency', async () => {
    const { items } = await company.api.created('/api/bank-transactions/import', {
      accountCode: '1010',
      transactions: [{ bankReference: 'i', date: '2026-02-28', amount: 12, currency: 'JPY', description: 'Interest' }],
    });
    const answer = await company.api.created(reconcile(items[0].id), { matches: [], differenceAccountCode: '4000' });
    expect((await readEntry(system.owner, company.id, answer.differenceEntryId)).lines).toEqual([
      ['1010', 12, 'JPY'],
      ['4000', -12, 'JPY'],
    ]);
  });

  test('with nothing posted where there is no difference, whatever account is named for it', async () => {
    const { lineId } = await bankLine(company.api, 5);
    const answer = await company.api.created(reconcile(await bankTransaction(company.api, 5)), withDifference(lineId));
    expect(answer).toMatchObject({ status: 'reconciled', differenceEntryId: null });
  });

  test('with up to 100 lines', async () => {
    const entry = await postManually(company.api, [...times(100, () => ['1000', 3] as const), ['3000', -300]]);
    const lineIds: string[] = entry.lines.slice(0, 100).map(({ id }: { id: string }) => id);
    const id = await bankTransaction(company.api, 300);
    const tooMany = await company.api.post(reconcile(id), matching(...lineIds, randomUUID()));
    expect(told(tooMany)).toEqual([422, 'validation_failed']);
    expect((await company.api.created(reconcile(id), matching(...lineIds))).journalLineIds).toHaveLength(100);
  });

  test('once', async () => {
    const id = await reconciledBankTransaction(company.api);
    const { lineId } = await bankLine(company.api, 1_234);
    expect(told(await company.api.post(reconcile(id), matching(lineId)))).toEqual([409, 'already_reconciled']);
  });

  test('in a closed period too, as long as nothing is posted', async () => {
    const own = await system.company();
    const { lineId } = await bankLine(own.api, 50);
    const [equal, off] = [await bankTransaction(own.api, 50), await bankTransaction(own.api, 60)];
    await closeBooks(own, '2026-02-28');
    expect(said(await own.api.post(reconcile(off), withDifference()))).toEqual([
      ...[409, 'period_closed', 'The books are closed through 2026-02-28.', ['path /bankTransactionId']],
    ]);
    await own.api.created(reconcile(equal), matching(lineId));
  });
});

describe('what does not fit is refused, and changes nothing', () => {
  test('amounts that do not agree to the minor unit', async () => {
    const { lineId } = await bankLine(company.api, 500);
    const id = await bankTransaction(company.api, 501);
    expect(told(await company.api.post(reconcile(id), matching(lineId)))).toEqual([422, 'amounts_do_not_match']);
    expect(await read(id)).toMatchObject({ status: 'unreconciled', journalLineIds: [] });
  });

  test.each(['1000', '2000', '1100', '9999'])('a difference on account %s', async (differenceAccountCode) => {
    const id = await bankTransaction(company.api, 5);
    const answer = await company.api.post(reconcile(id), { matches: [], differenceAccountCode });
    expect(told(answer)).toEqual([422, 'account_not_usable']);
    expect(answer.json.errors).toEqual([{ in: 'body', pointer: '/differenceAccountCode' }]);
  });

  test('no lines and no account for a difference', async () => {
    const answer = await company.api.post(reconcile(await bankTransaction(company.api, 5)), { matches: [] });
    expect(told(answer)).toEqual([422, 'validation_failed']);
    expect(answer.json.errors[0].pointer).toBe('/matches');
  });

  test.each<[string, () => Promise<string>]>([
    ['that is not there', async () => randomUUID()],
    [
      'of another account',
      async () =>
        (
          await postManually(company.api, [
            ['3000', 5],
            ['1000', -5],
          ])
        ).lines[0].id,
    ],
    ['of another bank account', async () => (await bankLine(company.api, 5, { accountCode: '1010' })).lineId],
    ['of another currency', async () => (await bankLine(company.api, 5, { currency: 'EUR' })).lineId],
    ['of another company', async () => (await bankLine((await system.company()).api, 5)).lineId],
    [
      'that is reconciled already',
      async () => (await read(await reconciledBankTransaction(company.api, 5))).journalLineIds[0],
    ],
    [
      'of an entry that is reversed',
      async () => {
        const { lineId, entryId } = await bankLine(company.api, 5);
        await company.api.created(reversal(entryId), { reason: 'Mistake' });
        return lineId;
      },
    ],
    [
      'of a reversal',
      async () => {
        const { entryId } = await bankLine(company.api, -5);
        return (await company.api.created(reversal(entryId), { reason: 'Mistake' })).lines[0].id;
      },
    ],
  ])('a line %s', async (_what, make) => {
    const good = await bankLine(company.api, 5);
    const id = await bankTransaction(company.api, 10);
    const answer = await company.api.post(reconcile(id), withDifference(good.lineId, await make()));
    expect(told(answer)).toEqual([422, 'journal_line_not_matchable']);
    expect(answer.json.errors).toEqual([{ in: 'body', pointer: '/matches/1/journalLineId' }]);
  });

  test('a line that is named twice, in whatever spelling', async () => {
    const { lineId } = await bankLine(company.api, 5);
    const id = await bankTransaction(company.api, 10);
    const answer = await company.api.post(reconcile(id), matching(lineId, lineId.toUpperCase()));
    expect(told(answer)).toEqual([422, 'journal_line_not_matchable']);
  });

  test('a bank transaction that is not there, or another company’s', async () => {
    const foreign = await bankTransaction((await system.company()).api, 5);
    for (const id of [randomUUID(), foreign]) {
      expect(told(await company.api.post(reconcile(id), withDifference()))).toEqual([
        404,
        'bank_transaction_not_found',
      ]);
      expect(told(await company.api.post(unreconcile(id), { reason: 'x' }))).toEqual([
        404,
        'bank_transaction_not_found',
      ]);
    }
  });
});

describe('a reconciliation is taken back', () => {
  test('which frees its lines for another, and stays in the history', async () => {
    const id = await reconciledBankTransaction(company.api, 77);
    const [lineId] = (await read(id)).journalLineIds;
    const answer = await company.api.post(unreconcile(id), { reason: 'Wrong line' }, { key: 'undo' });
    expect([answer.status, answer.headers.get('location')]).toEqual([200, `/api/bank-transactions/${id}`]);
    expect(answer.json).toMatchObject({ id, status: 'unreconciled', journalLineIds: [] });
    expect(told(await company.api.post(unreconcile(id), { reason: 'Again' }))).toEqual([
      409,
      'bank_transaction_not_reconciled',
    ]);
    const twin = await bankTransaction(company.api, 77);
    await company.api.created(reconcile(twin), matching(lineId));
    expect(told(await company.api.post(reconcile(id), matching(lineId)))).toEqual([422, 'journal_line_not_matchable']);
    const { rows } = await system.owner.query(
      `SELECT bank_transaction_id AS id, undone_by IS NOT NULL AS undone FROM bank_matches
       WHERE journal_line_id = $1 ORDER BY created_at`,
      [lineId],
    );
    expect(rows).toEqual([
      { id, undone: true },
      { id: twin, undone: false },
    ]);
    const { rows: audit } = await system.owner.query(
      "SELECT metadata ->> 'reason' AS reason FROM idempotent_write_audit_log WHERE company_id = $1 AND idempotency_key = 'undo'",
      [company.id],
    );
    expect(audit).toEqual([{ reason: 'Wrong line' }]);
  });

  test('by reversing the difference where one was posted', async () => {
    const { lineId } = await bankLine(company.api, 100);
    const id = await bankTransaction(company.api, 90, { date: '2026-02-20' });
    const { differenceEntryId } = await company.api.created(reconcile(id), withDifference(lineId));
    expect(told(await company.api.post(unreconcile(id), { reason: 'x' }))).toEqual([409, 'difference_was_posted']);

    const mirror = await company.api.created(reversal(differenceEntryId), { reason: 'No charge', date: '2026-02-21' });
    expect((await readEntry(system.owner, company.id, mirror.id)).lines).toEqual([
      ['1000', 10, 'USD'],
      ['6900', -10, 'USD'],
    ]);
    expect(await read(id)).toMatchObject({ status: 'unreconciled', journalLineIds: [], differenceEntryId: null });
    const again = await company.api.post(reversal(differenceEntryId), { reason: 'x' });
    expect(told(again)).toEqual([409, 'entry_already_reversed']);

    // Neither line of the difference stands for money at the bank any more; the first line does, and is free.
    const difference = (await company.api.get(`/api/ledger/entries/${differenceEntryId}`)).json;
    for (const gone of [difference.lines[0].id, mirror.lines[0].id]) {
      const refused = await company.api.post(reconcile(id), withDifference(lineId, gone));
      expect(told(refused)).toEqual([422, 'journal_line_not_matchable']);
    }
    const anew = await company.api.created(reconcile(id), withDifference(lineId));
    expect(anew.differenceEntryId).not.toBe(differenceEntryId);
  });

  test('before its entry can be reversed', async () => {
    const { lineId, entryId } = await bankLine(company.api, 60);
    const id = await bankTransaction(company.api, 60);
    await company.api.created(reconcile(id), matching(lineId));
    expect(told(await company.api.post(reversal(entryId), { reason: 'x' }))).toEqual([409, 'line_reconciled']);
    await company.api.created(unreconcile(id), { reason: 'Mistake' });
    await company.api.created(reversal(entryId), { reason: 'Mistake' });
  });
});

test.each(['manager', 'auditor'] as const)('%s reconciles nothing', async (role) => {
  const id = await bankTransaction(company.api, 5);
  for (const path of [reconcile(id), unreconcile(id)]) {
    const body = path === reconcile(id) ? withDifference() : { reason: 'x' };
    expect(told(await company.as(role).post(path, body))).toEqual([403, 'forbidden']);
  }
  expect((await company.as('accountant').post(reconcile(id), withDifference())).status).toBe(200);
});

test('after all this, every control of the books holds', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
