import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Actors, actors } from '../support/actors.ts';
import { bankRow, bankTransaction } from '../support/bank.ts';
import { changeSettings, closeBooks, readEntry } from '../support/books.ts';
import { exportedCsv } from '../support/export-lines.ts';
import {
  brokenOf,
  close,
  closedThrough,
  companyOfTwoYears,
  patchSettings,
  post,
  reopen,
  told,
  yearOf,
} from '../support/fiscal-years.ts';
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

describe('closing a fiscal year', () => {
  test('moves each income and expense account to retained earnings, and closes the books through its end', async () => {
    const { api, id } = await companyOfTwoYears(system);
    const answer = await close(api, 2024);
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe('/api/ledger/fiscal-years/2024');
    expect(answer.json).toEqual({
      year: 2024,
      from: '2024-01-01',
      to: '2024-12-31',
      state: 'closed',
      closingEntryId: expect.any(String),
      result: [
        { currency: 'EUR', amount: -30 },
        { currency: 'USD', amount: 450 },
      ],
    });
    expect(await yearOf(api, 2024)).toEqual(answer.json);
    expect(await readEntry(system.owner, id, answer.json.closingEntryId)).toEqual({
      date: '2024-12-31',
      operation: 'closeFiscalYear',
      lines: [
        ['6900', -30, 'EUR'],
        ['3100', 30, 'EUR'],
        ['4000', 700, 'USD'],
        ['5000', -50, 'USD'],
        ['6900', -200, 'USD'],
        ['3100', -450, 'USD'],
      ],
    });
    const entry = (await api.get(`/api/ledger/entries/${answer.json.closingEntryId}`)).json;
    expect(entry).toMatchObject({ kind: 'closing', description: 'Fiscal year 2024 closed' });
    const exported = await exportedCsv(api, '?from=2024-12-31&to=2024-12-31');
    const closing = exported.filter(({ entryId }) => entryId === entry.id).map(({ kind }) => kind);
    expect(closing).toEqual(entry.lines.map(() => 'closing'));
    expect(await closedThrough(api)).toBe('2024-12-31');
    const [version] = (await api.get('/api/company/settings/history')).json.items;
    expect(version).toMatchObject({
      writeId: entry.source.writeId,
      changes: [{ setting: 'booksClosedThrough', from: null, to: '2024-12-31' }],
    });
    expect(told(await post(api, '2024-12-31', { 6900: 1, 1000: -1 }))).toEqual([409, 'period_closed']);
    expect(told(await close(api, 2024))).toEqual([409, 'fiscal_year_closed']);
    expect(told(await api.post(`/api/ledger/entries/${entry.id}/reverse`, { reason: 'No' }))).toEqual([
      ...[409, 'entry_not_reversible'],
    ]);
  });

  test('happens in the order of the years, from the first that has an entry, each once it is over', async () => {
    const company = await companyOfTwoYears(system);
    const { api } = company;
    for (const year of [2023, 2025, 2026, 2999]) {
      const answer = await close(api, year);
      // That of 2025 gets right by itself, once 2024 is closed.
      expect([year, ...told(answer), answer.json.nextAction]).toEqual([
        ...[year, 409, 'fiscal_year_out_of_order', 'use_new_key'],
      ]);
    }
    for (const year of [2024, 2025]) expect((await close(api, year)).status).toBe(201);
    expect(told(await close(api, 2026))).toEqual([409, 'fiscal_year_not_over']);
    const items = (await api.get('/api/ledger/fiscal-years')).json.items;
    expect(items.map(({ year, state }: { year: number; state: string }) => [year, state])).toEqual([
      [2026, 'open'],
      [2025, 'closed'],
      [2024, 'closed'],
    ]);
    const paged = (await api.get('/api/ledger/fiscal-years?limit=2')).json;
    const rest = (await api.get(`/api/ledger/fiscal-years?limit=2&cursor=${paged.nextCursor}`)).json;
    expect([...paged.items, ...rest.items]).toEqual(items);
    expect(told(await api.get('/api/ledger/fiscal-years/2023'))).toEqual([404, 'fiscal_year_not_found']);
    expect(told(await api.get('/api/ledger/fiscal-years/24'))).toEqual([422, 'validation_failed']);
    expect(await brokenOf(system, company)).toEqual([]);
  });

  test('posts nothing where there is nothing to move, and leaves books closed that are closed further on', async () => {
    const company = await system.company();
    const { api } = company;
    await post(api, '2023-05-05', { 1000: 5, 3000: -5 });
    await closeBooks(company, '2025-02-28');
    const { json } = await close(api, 2023);
    expect(json).toMatchObject({ state: 'closed', closingEntryId: null, result: [] });
    expect(await closedThrough(api)).toBe('2025-02-28');
    expect((await close(api, 2024)).json).toMatchObject({ closingEntryId: null });
    expect((await reopen(api, 2024)).json).toMatchObject({ state: 'open', closingEntryId: null });
    expect(await closedThrough(api)).toBe('2025-02-28');
  });

  test('without any entry, there is no year to close but one that is not over', async () => {
    const { api } = await system.company();
    const [only, ...others] = (await api.get('/api/ledger/fiscal-years')).json.items;
    expect([only.state, only.result, others]).toEqual(['open', [], []]);
    expect(told(await close(api, only.year))).toEqual([409, 'fiscal_year_not_over']);
    expect(told(await close(api, only.year - 1))).toEqual([409, 'fiscal_year_out_of_order']);
    expect(told(await reopen(api, only.year))).toEqual([409, 'fiscal_year_out_of_order']);
  });

  test('is refused while something is in the way, which the answer lists, and its replay as well', async () => {
    const { api } = await companyOfTwoYears(system);
    const transactionId = await bankTransaction(api, 500, bankRow(500, { date: '2024-12-31' }));
    const key = 'in-the-way';
    const refused = await api.post('/api/ledger/fiscal-years/2024/close', {}, { key });
    expect(told(refused)).toEqual([409, 'controls_failed']);
    expect(refused.json.failed).toEqual([
      {
        control: 'bank-reconciled',
        ...{ accountCode: null, currency: null, expected: null, found: null },
        detail: expect.stringContaining('2024-12-31'),
        resources: [`/api/bank-transactions/${transactionId}`],
      },
    ]);
    expect((await api.post('/api/ledger/fiscal-years/2024/close', {}, { key })).text).toBe(refused.text);
    const charge = { matches: [], differenceAccountCode: '6900' };
    await api.created(`/api/ledger/reconcile/${transactionId}`, charge);
    expect((await close(api, 2024)).json.result).toMatchObject([{ amount: -30 }, { amount: 950 }]);
  });

  test('moves a sum that is larger than a line can hold by several lines', async () => {
    const { api, id } = await system.company();
    for (const date of ['2024-05-05', '2024-06-05', '2024-07-05']) await post(api, date, { 1000: 7, 4000: -7 });
    await sql.as('owner', id, async (client) => {
      await client.query("SET LOCAL session_replication_role = 'replica'");
      await client.query(
        `UPDATE journal_lines l SET amount_minor = sign(l.amount_minor) * 100000000000000000
         FROM journal_entries e WHERE l.company_id = $1 AND e.id = l.entry_id AND e.entry_date > '2024-05-05'`,
        [id],
      );
    });
    const { json } = await close(api, 2024);
    expect(json.result).toEqual([{ currency: 'USD', amount: '200000000000000007' }]);
    const { lines } = (await api.get(`/api/ledger/entries/${json.closingEntryId}`)).json;
    const whole = '100000000000000000';
    expect(
      lines.map(({ accountCode, amount }: { accountCode: string; amount: unknown }) => [accountCode, amount]),
    ).toEqual([
      ...[whole, whole, 7].map((amount) => ['4000', amount]),
      ...[`-${whole}`, `-${whole}`, -7].map((amount) => ['3100', amount]),
    ]);
  });

  test.each(['accountant', 'manager', 'auditor'] as const)('is not for the role %s', async (role) => {
    const company = await system.company();
    expect(told(await close(company.as(role), 2024))).toEqual([403, 'forbidden']);
  });
});

describe('reopening a fiscal year', () => {
  test('posts the mirror, dated the same day, and puts the closing date back to what it was', async () => {
    const company = await companyOfTwoYears(system);
    const { api, id } = company;
    await closeBooks(company, '2024-11-30');
    const { closingEntryId } = (await close(api, 2024)).json;
    await closeBooks(company, '2025-01-31');
    expect(told(await reopen(company.as('admin'), 2024))).toEqual([403, 'forbidden']);
    expect(told(await api.post('/api/ledger/fiscal-years/2024/reopen', {}))).toEqual([422, 'validation_failed']);
    const reopened = await reopen(api, 2024);
    expect(reopened.status).toBe(200);
    expect(reopened.json).toMatchObject({ year: 2024, state: 'open', closingEntryId: null });
    expect(reopened.json.result).toMatchObject([{ amount: -30 }, { amount: 450 }]);
    expect(await closedThrough(api)).toBe('2024-11-30');
    const [version] = (await api.get('/api/company/settings/history')).json.items;
    expect(version).toMatchObject({ reopenReason: 'A late invoice', changes: [{ to: '2024-11-30' }] });

    const { items } = (await api.get('/api/ledger/entries?operation=reopenFiscalYear')).json;
    expect(items).toMatchObject([
      { date: '2024-12-31', kind: 'closing', reverses: closingEntryId, description: 'A late invoice' },
    ]);
    const closing = await readEntry(system.owner, id, closingEntryId);
    const mirror = await readEntry(system.owner, id, items[0].id);
    expect(mirror.lines).toEqual(closing.lines.map(([code, amount, currency]) => [code, -amount, currency]));

    expect((await post(api, '2024-12-01', { 6900: 8, 1000: -8 })).status).toBe(201);
    expect(told(await post(api, '2024-11-30', { 6900: 8, 1000: -8 }))).toEqual([409, 'period_closed']);
    const again = await close(api, 2024);
    expect(again.json.result).toMatchObject([{ amount: -30 }, { amount: 442 }]);
    expect(again.json.closingEntryId).not.toBe(closingEntryId);
    expect(await brokenOf(system, company)).toEqual([]);
  });

  test('closes no more of the books than the settings have left closed since', async () => {
    const company = await companyOfTwoYears(system);
    const { api } = company;
    await closeBooks(company, '2025-02-28');
    await close(api, 2024);
    const { version: expectedVersion } = (await api.get('/api/company/settings')).json;
    const opened = { expectedVersion, booksClosedThrough: '2024-12-31', reopenReason: 'February was wrong' };
    expect((await patchSettings(api, opened)).status).toBe(200);
    expect((await reopen(api, 2024)).status).toBe(200);
    expect(await closedThrough(api)).toBe('2024-12-31');
    expect((await post(api, '2025-01-05', { 6900: 8, 1000: -8 })).status).toBe(201);
  });

  test('is of the latest closed one alone, and the settings cannot do it', async () => {
    const company = await companyOfTwoYears(system);
    const { api } = company;
    await close(api, 2024);
    await close(api, 2025);
    expect(told(await reopen(api, 2024))).toEqual([409, 'fiscal_year_out_of_order']);
    const { version } = (await api.get('/api/company/settings')).json;
    for (const booksClosedThrough of ['2025-12-30', '2024-06-30', null]) {
      const change = { expectedVersion: version, booksClosedThrough, reopenReason: 'Why not' };
      const refused = await patchSettings(api, change);
      expect([booksClosedThrough, ...told(refused)]).toEqual([booksClosedThrough, 409, 'fiscal_year_closed']);
    }
    for (const year of [2025, 2024]) expect((await reopen(api, year)).status).toBe(200);
    expect(await closedThrough(api)).toBeNull();
    const { items } = (await api.get('/api/ledger/trial-balance?asOf=2025-12-31')).json;
    expect(items.find((item: { accountCode: string }) => item.accountCode === '3100')).toMatchObject({
      debit: 0,
      credit: 0,
    });
    const lowered = (await api.get('/api/security-log?event=control_lowered')).json.items;
    expect(lowered.map(({ action }: { action: string }) => action)).toContain('reopenFiscalYear');
  });
});

describe('the end of the fiscal year', () => {
  test('is a day of each year; the last of February has its own form', async () => {
    const company = await companyOfTwoYears(system);
    const { api } = company;
    await post(api, '2024-01-01', { 1000: 1, 3000: -1 });
    for (const [fiscalYearEnd, from, to] of [
      ['06-30', '2023-07-01', '2024-06-30'],
      ['02-29', '2023-03-01', '2024-02-29'],
      ['02-28', '2023-03-01', '2024-02-28'],
      ['12-31', '2024-01-01', '2024-12-31'],
    ]) {
      await changeSettings(company, { fiscalYearEnd });
      expect(await yearOf(api, 2024)).toMatchObject({ from, to });
    }
    await changeSettings(company, { fiscalYearEnd: '02-29' });
    expect(await yearOf(api, 2025)).toMatchObject({ from: '2024-03-01', to: '2025-02-28' });
    const { version: expectedVersion } = (await api.get('/api/company/settings')).json;
    for (const fiscalYearEnd of ['02-30', '13-01', '04-31', '1-1', '']) {
      const refused = await patchSettings(api, { expectedVersion, fiscalYearEnd });
      expect([fiscalYearEnd, ...told(refused)]).toEqual([fiscalYearEnd, 422, 'validation_failed']);
    }
  });

  test('may change after years were closed: the next one is shorter or longer, without a gap or an overlap', async () => {
    const company = await companyOfTwoYears(system);
    const { api } = company;
    await close(api, 2024);
    for (const fiscalYearEnd of ['03-31', '12-30', '12-31', '01-01']) {
      await changeSettings(company, { fiscalYearEnd });
      const years = (await api.get('/api/ledger/fiscal-years')).json.items.toReversed() as {
        year: number;
        from: string;
        to: string;
      }[];
      expect(years[0]).toMatchObject({ year: 2024, from: '2024-01-01', to: '2024-12-31', state: 'closed' });
      for (const [index, one] of years.entries()) {
        expect(one.year).toBe(2024 + index);
        expect(one.to.slice(0, 4)).toBe(String(one.year));
        const before = years[index - 1];
        if (before === undefined) continue;
        expect(one.from).toBe(new Date(Date.parse(before.to) + 86_400_000).toISOString().slice(0, 10));
        expect(one.to.slice(5)).toBe(fiscalYearEnd);
      }
    }
    const { json } = await close(api, 2025);
    expect(json).toMatchObject({ from: '2025-01-01', to: '2025-01-01', result: [{ amount: -40 }] });
  });
});
