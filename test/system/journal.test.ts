import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { type Actors, actors, claimByHand, rejectByHand } from '../support/actors.ts';
import { bankLine, postManually } from '../support/bank.ts';
import { changeSettings, closeBooks, readEntry } from '../support/books.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { expectOneStory } from '../support/one-story.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
let sql: Actors;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
});
afterAll(async () => {
  await sql.end();
  await system.stop();
});

const told = ({ status, json }: Answer) => [status, json.code];
const entryBody = (lines: readonly (readonly [string, number])[], more: object = {}) => ({
  date: '2026-02-10',
  description: 'By hand',
  currency: 'USD',
  lines: lines.map(([accountCode, amount]) => ({ accountCode, amount })),
  ...more,
});
const reversal = (entryId: string) => `/api/ledger/entries/${entryId}/reverse`;

describe('an account of one’s own', () => {
  test('joins the chart under its code, and entries can name it', async () => {
    const answer = await company.api.post('/api/ledger/accounts', { code: '6200', name: 'Travel', type: 'expense' });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe('/api/ledger/accounts/6200');
    expect(answer.json).toMatchObject({ code: '6200', type: 'expense', isBank: false, isControl: false });
    expect((await company.api.get('/api/ledger/accounts/6200')).json).toEqual(answer.json);
    const entry = await postManually(company.api, [
      ['6200', 700],
      ['2000', -700],
    ]);
    expect(entry.lines[0]).toMatchObject({ accountCode: '6200', amount: 700 });
  });

  test('has a code that no other has, also when twenty ask for it at once', async () => {
    const account = { code: 'race-1', name: 'Race', type: 'asset' };
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => company.api.post('/api/ledger/accounts', account)),
    );
    const refused = answers.filter(({ status }) => status !== 201);
    expect(refused).toHaveLength(19);
    for (const answer of refused) expect(told(answer)).toEqual([409, 'account_code_taken']);
  });

  test.each([
    ['a bank that is no asset', { code: '1', name: 'Bank', type: 'income', isBank: true }, '/isBank'],
    ['a code that is a step up in a path', { code: '..', name: 'Dots', type: 'asset' }, '/code'],
    ['a code with a slash', { code: '1/2', name: 'Slash', type: 'asset' }, '/code'],
    ['a type that accounting does not know', { code: '1', name: 'Odd', type: 'control' }, '/type'],
  ])('is not %s', async (_what, account, pointer) => {
    const answer = await company.api.post('/api/ledger/accounts', account);
    expect(told(answer)).toEqual([422, 'validation_failed']);
    expect(answer.json.errors[0].pointer).toBe(pointer);
  });

  test('receives money when it is a bank', async () => {
    await company.api.created('/api/ledger/accounts', { code: '1020', name: 'Till', type: 'asset', isBank: true });
    const invoiceId = await company.invoice();
    const payment = await company.api.created('/api/payments', { ...paymentBody(invoiceId), bankAccountCode: '1020' });
    expect((await readEntry(system.owner, company.id, payment.journalEntryId)).lines[0]).toEqual(['1020', 100, 'USD']);
  });
});

describe('a manual entry', () => {
  test('posts its lines as they are, under the ID of its write, and replays', async () => {
    const body = {
      ...entryBody([]),
      lines: [
        { accountCode: '6900', amount: 300, memo: 'Fee' },
        { accountCode: '2000', amount: -100 },
        { accountCode: '1000', amount: -200 },
      ],
      metadata: { voucher: 'V-17' },
    };
    const first = await company.api.post('/api/ledger/entries', body, { key: 'manual' });
    const again = await company.api.post('/api/ledger/entries', body, { key: 'manual' });
    expectOneStory([first, again], { firsts: 1 });
    expect(first.headers.get('location')).toBe(`/api/ledger/entries/${first.json.id}`);
    expect((await company.api.get(`/api/ledger/entries/${first.json.id}`)).json).toEqual(first.json);
    expect(first.json).toMatchObject({
      date: '2026-02-10',
      description: 'By hand',
      source: { operation: 'createJournalEntry', writeId: first.json.id },
      reverses: null,
      metadata: { voucher: 'V-17' },
      lines: [{ memo: 'Fee' }, { memo: null }, { memo: null }],
    });
    expect((await readEntry(system.owner, company.id, first.json.id)).lines).toEqual([
      ['6900', 300, 'USD'],
      ['2000', -100, 'USD'],
      ['1000', -200, 'USD'],
    ]);
    expect(
      await countEffects(system.owner, { companyId: company.id, table: 'journal_entries', key: 'manual' }),
    ).toMatchObject({ writes: 1, rows: 1, entries: 1, newAudit: 1, events: 1 });
  });

  test('is answered, byte for byte, as it is read later, whatever order its notes were sent in', async () => {
    const metadata = { voucher: '1', '😀': '2', '\u{fffd}a': '3', é: '4', zz: '5', b: '6', a: '7', 10: '8' };
    const lines = [
      ['1000', 5],
      ['3000', -5],
    ] as const;
    const { text, json } = await company.api.post('/api/ledger/entries', entryBody(lines, { metadata }));
    expect(json.metadata).toEqual(metadata);
    expect((await company.api.get(`/api/ledger/entries/${json.id}`)).text).toBe(text);
  });

  test.each([
    [
      'that does not balance',
      [
        ['1000', 5],
        ['3000', -4],
      ],
      '/lines',
    ],
    ['of one line', [['1000', 5]], '/lines'],
    [
      'with a line of zero',
      [
        ['1000', 5],
        ['3000', -5],
        ['2000', 0],
      ],
      '/lines/2/amount',
    ],
    [
      'with a fraction',
      [
        ['1000', 0.5],
        ['3000', -0.5],
      ],
      '/lines/0/amount',
    ],
    [
      'above the largest amount',
      [
        ['1000', 1e13 + 1],
        ['3000', -1e13 - 1],
      ],
      '/lines/0/amount',
    ],
  ] as [string, [string, number][], string][])(
    '%s is malformed, and nothing is stored',
    async (_what, lines, pointer) => {
      const answer = await company.api.post('/api/ledger/entries', entryBody(lines), { key: 'malformed' });
      expect(told(answer)).toEqual([422, 'validation_failed']);
      expect(answer.json.errors[0].pointer).toBe(pointer);
      expect((await company.api.get('/api/writes/malformed')).status).toBe(404);
    },
  );

  test('of 200 lines of the largest amount is posted, and one of 201 lines is not', async () => {
    const lines = Array.from({ length: 200 }, (_, n) => ['1000', n % 2 === 0 ? 1e13 : -1e13] as const);
    expect((await postManually(company.api, lines)).lines).toHaveLength(200);
    const more = await company.api.post('/api/ledger/entries', entryBody([...lines, ['1000', 1]]));
    expect(told(more)).toEqual([422, 'validation_failed']);
  });

  test.each([
    ['1100', 'control_account'],
    ['1200', 'control_account'],
    ['9999', 'account_not_usable'],
  ])('on account %s is refused as %s, which names the line', async (code, rejection) => {
    const answer = await company.api.post(
      '/api/ledger/entries',
      entryBody([
        ['1000', 5],
        [code, -5],
      ]),
    );
    expect(told(answer)).toEqual([422, rejection]);
    expect(answer.json.errors).toEqual([{ in: 'body', pointer: '/lines/1/accountCode' }]);
  });

  test.each(['1100', '1200'])('on control account %s is refused by the database itself', async (code) => {
    const posting = (operation: string) =>
      sql.as('application', company.id, async (client) => {
        const writeId = await claimByHand(client, company.id, company.users.owner.id, operation);
        const lines = [code, '3000'].map((account, n) => ({
          id: randomUUID(),
          account,
          amount: n === 0 ? '5' : '-5',
          currency: 'USD',
        }));
        const values = [company.id, writeId, writeId, operation, '2026-02-10', 'x', JSON.stringify(lines)];
        await client.query('SELECT post_entry($1, $2, $3, $4, $5, $6, $7)', values);
        await rejectByHand(client, company.id, writeId);
        // What passes is not to be left in the books.
        throw new Error('taken');
      });
    await expect(posting('createJournalEntry')).rejects.toMatchObject({ code: '23514', constraint: 'control_account' });
    const foreign = code === '1100' ? 'adjustInventory' : 'createPayment';
    await expect(posting(foreign)).rejects.toMatchObject({ constraint: 'control_account' });
    const own = code === '1200' ? 'adjustInventory' : 'createPayment';
    await expect(posting(own)).rejects.toThrow('taken');
  });

  test('is not dated in a closed period', async () => {
    const own = await system.company();
    await closeBooks(own, '2026-02-10');
    const lines = [
      ['1000', 5],
      ['3000', -5],
    ] as const;
    expect(told(await own.api.post('/api/ledger/entries', entryBody(lines)))).toEqual([409, 'period_closed']);
    await own.api.created('/api/ledger/entries', entryBody(lines, { date: '2026-02-11' }));
  });
});

describe('a reversal', () => {
  test('posts the mirror, names what it reverses, and happens once', async () => {
    const entry = await postManually(company.api, [
      ['6900', 300],
      ['1000', -300],
    ]);
    const reversed = await company.api.post(reversal(entry.id), { reason: 'Posted twice', date: '2026-02-28' });
    expect(reversed.status).toBe(201);
    expect(reversed.headers.get('location')).toBe(`/api/ledger/entries/${reversed.json.id}`);
    expect(reversed.json).toMatchObject({
      reverses: entry.id,
      description: 'Posted twice',
      source: { operation: 'reverseJournalEntry', writeId: reversed.json.id },
    });
    expect(await readEntry(system.owner, company.id, reversed.json.id)).toEqual({
      date: '2026-02-28',
      operation: 'reverseJournalEntry',
      lines: [
        ['6900', -300, 'USD'],
        ['1000', 300, 'USD'],
      ],
    });
    const again = await company.api.post(reversal(entry.id), { reason: 'Once more' });
    expect(told(again)).toEqual([409, 'entry_already_reversed']);
    expect(told(await company.api.post(reversal(reversed.json.id), { reason: 'Back' }))).toEqual([
      409,
      'entry_not_reversible',
    ]);
  });

  test('twenty at once make one', async () => {
    const { entryId } = await bankLine(company.api, 50);
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => company.api.post(reversal(entryId), { reason: 'Race' })),
    );
    const refused = answers.filter(({ status }) => status !== 201);
    expect(refused).toHaveLength(19);
    for (const answer of refused) expect(told(answer)).toEqual([409, 'entry_already_reversed']);
  });

  test('is not for entries that have another way back, nor for what is not there', async () => {
    const invoice = (await company.api.get(`/api/invoices/${await company.invoice()}`)).json;
    const taken = await company.api.post(reversal(invoice.journalEntryId), { reason: 'No' });
    expect(told(taken)).toEqual([409, 'entry_not_reversible']);
    expect(told(await company.api.post(reversal(randomUUID()), { reason: 'No' }))).toEqual([
      404,
      'journal_entry_not_found',
    ]);
    const other = await system.company();
    const { entryId } = await bankLine(other.api, 5);
    expect(told(await company.api.post(reversal(entryId), { reason: 'No' }))).toEqual([404, 'journal_entry_not_found']);
  });

  test('is never dated before its original, nor in a closed period', async () => {
    const own = await system.company();
    const { entryId } = await bankLine(own.api, 5, { date: '2026-02-10' });
    const early = await own.api.post(reversal(entryId), { reason: 'Early', date: '2026-02-09' });
    expect(told(early)).toEqual([422, 'date_before_original']);
    expect(early.json.errors).toEqual([{ in: 'body', pointer: '/date' }]);
    await closeBooks(own, '2026-02-28');
    const closed = await own.api.post(reversal(entryId), { reason: 'Closed', date: '2026-02-28' });
    expect(told(closed)).toEqual([409, 'period_closed']);
    await own.api.created(reversal(entryId), { reason: 'Open', date: '2026-03-01' });
  });

  test('without a date is of today in the time zone of the company', async () => {
    const own = await system.company();
    for (const timeZone of ['Pacific/Kiritimati', 'Pacific/Pago_Pago']) {
      await changeSettings(own, { timeZone });
      const today = () => new Intl.DateTimeFormat('en-CA', { timeZone }).format(new Date());
      const before = today();
      const { entryId } = await bankLine(own.api, 5);
      const { date } = await own.api.created(reversal(entryId), { reason: 'Today' });
      expect([before, today()]).toContain(date);
    }
  });
});

test.each(['manager', 'auditor', 'inventory_manager'] as const)('%s posts nothing by hand', async (role) => {
  for (const [path, body] of [
    ['/api/ledger/accounts', { code: '6300', name: 'Mine', type: 'expense' }],
    [
      '/api/ledger/entries',
      entryBody([
        ['1000', 5],
        ['3000', -5],
      ]),
    ],
    [reversal(randomUUID()), { reason: 'Mine' }],
  ] as const) {
    expect(told(await company.as(role).post(path, body))).toEqual([403, 'forbidden']);
  }
  expect(
    (
      await company.as('accountant').post(
        '/api/ledger/entries',
        entryBody([
          ['1000', 5],
          ['3000', -5],
        ]),
      )
    ).status,
  ).toBe(201);
});

test('after all this, every control of the books holds', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
