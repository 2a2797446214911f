import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { divideHalfAway } from '../../activities/money.ts';
import type { RunningApi } from '../../api/app.ts';
import { type Actor, type Actors, actors } from '../support/actors.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { holdInvoice, untilWaiting } from '../support/held-invoice.ts';
import { postedOn } from '../support/posted-on.ts';
import { said } from '../support/said.ts';
import { sendPatiently as send } from '../support/send-patiently.ts';
import { type System, startSystem } from '../support/system.ts';
import { tally } from '../support/tally.ts';

let system: System;
let company: Company;
let other: RunningApi;
let sql: Actors;
beforeAll(async () => {
  system = await startSystem();
  sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
  company = await system.company();
  other = await system.another();
});
afterAll(async () => {
  await sql.end();
  await system.stop();
});

const times = <T>(count: number, make: (index: number) => T) =>
  Array.from({ length: count }, (_, index) => make(index));
/** Clients of two APIs in turn: what must hold may not rest on one process. */
const client = (index: number) => (index % 2 === 0 ? company.api : company.as('owner', other.url));
const writeOff = (id: string, amount: number, more: object = {}, index = 0): Promise<Answer> =>
  send(client(index), `/api/invoices/${id}/write-off`, { amount, reason: 'Insolvent', date: '2026-03-01', ...more });
const recover = (id: string, date = '2026-04-01', index = 0): Promise<Answer> =>
  send(client(index), `/api/invoices/${id}/recover-write-off`, { reason: 'Paid after all', date });
const pay = (id: string, amount: number, receivedOn = '2026-02-01', index = 0): Promise<Answer> =>
  send(client(index), '/api/payments', { ...paymentBody(id, amount), receivedOn });
const refund = (paymentId: string, amount: number, date: string): Promise<Answer> =>
  send(company.api, '/api/refunds', { paymentId, amount, reason: 'Back', date });
const credit = (id: string, net: number, index = 0): Promise<Answer> =>
  send(client(index), `/api/invoices/${id}/credit-notes`, {
    lines: [{ lineNumber: 1, net }],
    reason: 'Discount',
    date: '2026-03-01',
  });
const voiding = (id: string): Promise<Answer> =>
  send(company.api, `/api/invoices/${id}/void`, { reason: 'Wrong', date: '2026-05-01' });
/** 500 and a tax of 41, unless other prices are given. */
async function taxed(unitPrice = 333, quantity = '1.5'): Promise<string> {
  const { id } = await company.api.created('/api/invoices', {
    customerId: await company.customer(),
    currency: 'USD',
    issueDate: '2026-01-15',
    dueDate: '2026-02-15',
    lines: [{ description: 'Work', quantity, unitPrice, taxRateBasisPoints: 825 }],
  });
  await company.api.created(`/api/invoices/${id}/finalize`, {});
  return id;
}

const readInvoice = async (id: string) => (await company.api.get(`/api/invoices/${id}`)).json;
const stateOf = async (id: string) => {
  const { status, amountPaid, amountCredited, amountWrittenOff, amountDue } = await readInvoice(id);
  return { status, amountPaid, amountCredited, amountWrittenOff, amountDue };
};
describe('a write-off', () => {
  test('posts what is given up to bad debts, and with relief its share of the tax to sales tax payable', async () => {
    const id = await taxed();
    const first = await writeOff(id, 200, { taxRelief: true });
    expect([first.status, first.json.status, first.headers.get('location')]).toEqual([
      200,
      'finalized',
      `/api/invoices/${id}`,
    ]);
    expect(first.json).toMatchObject({ amountWrittenOff: 200, amountDue: 341, amountPaid: 0, amountCredited: 0 });
    expect((await writeOff(id, 100, { date: '2026-03-02' })).json.amountDue).toBe(241);
    const last = await writeOff(id, 241, { date: '2026-03-03', taxRelief: true });
    expect(last.json).toMatchObject({ status: 'written_off', amountWrittenOff: 541, amountDue: 0 });
    // 41 × 200 / 541 = 15.16; × 300 = 22.74, less 15; 41 less 23. The second gives no tax back.
    expect(await postedOn(company.api, id, 3)).toEqual([
      ['writeOffInvoice', '2026-03-03', { 6800: 223, 2100: 18, 1100: -241 }],
      ['writeOffInvoice', '2026-03-02', { 6800: 100, 1100: -100 }],
      ['writeOffInvoice', '2026-03-01', { 6800: 185, 2100: 15, 1100: -200 }],
    ]);
    expect((await readInvoice(id)).writeOffs).toMatchObject([
      { amount: 241, taxShare: 18, taxRelief: true, date: '2026-03-03', reason: 'Insolvent', recoveredOn: null },
      { amount: 100, taxShare: 8, taxRelief: false, date: '2026-03-02' },
      { amount: 200, taxShare: 15, taxRelief: true, date: '2026-03-01' },
    ]);
    expect((await company.api.get('/api/invoices?status=written_off')).json.items).toEqual([last.json]);
  });

  test('of a tax that is all of it leaves no line of nothing', async () => {
    const id = await company.invoice({ total: 100 });
    await writeOff(id, 100, { taxRelief: true });
    expect(await postedOn(company.api, id, 1)).toEqual([['writeOffInvoice', '2026-03-01', { 6800: 100, 1100: -100 }]]);
  });

  test('leaves what was paid and credited, and is at most what is due', async () => {
    const id = await taxed();
    expect((await pay(id, 100)).status).toBe(201);
    expect((await credit(id, 100)).status).toBe(201);
    const refused = [422, 'write_off_exceeds_due', '3.33 USD is due on the invoice.', ['body /amount']];
    expect(said(await writeOff(id, 334))).toEqual(refused);
    expect((await writeOff(id, 333)).json.status).toBe('written_off');
    expect(await stateOf(id)).toMatchObject({
      amountPaid: 100,
      amountCredited: 108,
      amountWrittenOff: 333,
      amountDue: 0,
    });
  });

  test('finds bad debts by its role: a company of before may have the code for another account', async () => {
    const own = await system.company();
    const invoiceId = await own.invoice({ total: 100 });
    await sql.as('owner', own.id, async (session) => {
      await session.query("SET LOCAL session_replication_role = 'replica'");
      await session.query("UPDATE accounts SET code = '6801' WHERE company_id = $1 AND role = 'bad_debts'", [own.id]);
    });
    await own.api.created('/api/ledger/accounts', { code: '6800', name: 'Donations', type: 'expense' });
    await own.api.created(`/api/invoices/${invoiceId}/write-off`, { amount: 100, reason: 'Gone', date: '2026-03-01' });
    const { entries } = (await own.api.get(`/api/invoices/${invoiceId}`)).json;
    expect(entries[0].lines).toMatchObject([{ accountCode: '6801' }, { accountCode: '1100' }]);
  });

  test('is refused on what is not due, not there, before the invoice, in a closed period or too far ahead', async () => {
    const [draft, paid, voided] = [
      await company.draftInvoice(),
      await company.invoice({ total: 100 }),
      await company.invoice(),
    ];
    await pay(paid, 100);
    await voiding(voided);
    const notDue = (status: string) => [409, 'invoice_not_due', `The invoice is ${status}.`, ['path /invoiceId']];
    expect(said(await writeOff(draft, 1))).toEqual(notDue('draft'));
    expect(said(await writeOff(paid, 1))).toEqual(notDue('paid'));
    expect(said(await writeOff(voided, 1))).toEqual(notDue('void'));
    const foreign = await (await system.company()).invoice();
    expect(said(await writeOff(foreign, 1)).slice(0, 2)).toEqual([404, 'invoice_not_found']);
    const id = await company.invoice();
    expect(said(await writeOff(id, 1, { date: '2026-01-14' }))).toEqual([
      422,
      'date_before_invoice',
      'The invoice is dated 2026-01-15, which is after 2026-01-14.',
      ['body /date'],
    ]);
    const future = new Date(Date.now() + 9 * 86_400_000).toISOString().slice(0, 10);
    const coming = await company.invoice({ issueDate: future });
    expect(said(await writeOff(coming, 1, { date: undefined }))[2]).toContain(`give a date on or after ${future}.`);
    expect(said(await writeOff(id, 1, { date: '2999-01-01' })).slice(0, 2)).toEqual([422, 'date_too_late']);
    expect((await stateOf(id)).amountWrittenOff).toBe(0);
  });

  test('takes no more than is due as of any day: what a later refund made due was not due before', async () => {
    const id = await company.invoice({ total: 1_000 });
    const { json: payment } = await pay(id, 1_000, '2026-02-01');
    await refund(payment.id, 1_000, '2026-03-10');
    const refused = [422, 'as_of_conflict', '0.00 USD is due on the invoice as of 2026-03-01.', ['body /date']];
    expect(said(await writeOff(id, 1))).toEqual(refused);
    expect((await writeOff(id, 1_000, { date: '2026-03-10' })).status).toBe(200);
  });

  test('is in the way of a payment, a void and a reminder, and not of a refund', async () => {
    const id = await company.invoice({ total: 1_000 });
    const { json: payment } = await pay(id, 400);
    await writeOff(id, 600);
    expect(said(await pay(id, 1, '2026-03-02')).slice(0, 3)).toEqual([
      409,
      'invoice_not_payable',
      'The invoice is written_off.',
    ]);
    expect(said(await credit(id, 1)).slice(0, 3)).toEqual([
      422,
      'credit_exceeds_due',
      'The note is over 0.01 USD; 0.00 USD is due.',
    ]);
    const reminder = await company.api.post(`/api/invoices/${id}/reminders`, { step: 1 });
    expect(said(reminder).slice(0, 3)).toEqual([409, 'invoice_not_due', 'The invoice is written_off.']);
    expect((await refund(payment.id, 400, '2026-03-02')).status).toBe(201);
    expect(await stateOf(id)).toMatchObject({
      status: 'finalized',
      amountPaid: 0,
      amountWrittenOff: 600,
      amountDue: 400,
    });
    expect(said(await voiding(id)).slice(0, 3)).toEqual([
      409,
      'invoice_not_voidable',
      '6.00 USD of the invoice has been written off: recover it first.',
    ]);
    expect((await recover(id)).status).toBe(200);
    expect((await voiding(id)).json.status).toBe('void');
  });

  test('counts in what customers owe from its day on', async () => {
    const own = await system.company();
    const invoiceId = await own.invoice({ total: 1_000 });
    await own.api.created(`/api/invoices/${invoiceId}/write-off`, { amount: 300, reason: 'Gone', date: '2026-03-01' });
    await own.api.created(`/api/invoices/${invoiceId}/recover-write-off`, { reason: 'Paid', date: '2026-03-05' });
    const owed = async (day: string) =>
      (await own.api.get(`/api/reports/aged-receivables?asOf=${day}`)).json.items[0].notDue;
    expect([await owed('2026-02-28'), await owed('2026-03-01'), await owed('2026-03-05')]).toEqual([1_000, 700, 1_000]);
  });
});

describe('a recovery', () => {
  test('is the mirror of the latest write-off that stands, one after another; then it can be paid', async () => {
    const id = await taxed();
    await writeOff(id, 200, { taxRelief: true });
    await writeOff(id, 341, { date: '2026-03-05', taxRelief: true });
    const answer = await recover(id, '2026-03-06');
    expect(answer.json).toMatchObject({ status: 'finalized', amountWrittenOff: 200, amountDue: 341 });
    // Its share is free again: 41 × 300 / 541 = 22.74, less 15.
    await writeOff(id, 100, { date: '2026-03-07', taxRelief: true });
    await recover(id, '2026-03-08');
    expect((await recover(id, '2026-03-09')).json).toMatchObject({ amountWrittenOff: 0, amountDue: 541 });
    expect((await postedOn(company.api, id, 6)).map((entry: unknown[]) => [entry[0], entry[2]])).toEqual([
      ['recoverWriteOff', { 6800: -185, 2100: -15, 1100: 200 }],
      ['recoverWriteOff', { 6800: -92, 2100: -8, 1100: 100 }],
      ['writeOffInvoice', { 6800: 92, 2100: 8, 1100: -100 }],
      ['recoverWriteOff', { 6800: -315, 2100: -26, 1100: 341 }],
      ['writeOffInvoice', { 6800: 315, 2100: 26, 1100: -341 }],
      ['writeOffInvoice', { 6800: 185, 2100: 15, 1100: -200 }],
    ]);
    expect(said(await recover(id))).toEqual([
      409,
      'nothing_written_off',
      'The invoice is finalized.',
      ['path /invoiceId'],
    ]);
    expect((await pay(id, 541, '2026-03-09')).status).toBe(201);
    expect(await stateOf(id)).toMatchObject({ status: 'paid', amountPaid: 541, amountWrittenOff: 0 });
  });

  test('is refused where nothing stands, before its write-off, and on a closed or far day', async () => {
    const id = await company.invoice({ total: 100 });
    expect(said(await recover(id)).slice(0, 2)).toEqual([409, 'nothing_written_off']);
    expect(said(await recover(await company.draftInvoice())).slice(0, 2)).toEqual([409, 'nothing_written_off']);
    expect(said(await recover(await (await system.company()).invoice())).slice(0, 2)).toEqual([
      404,
      'invoice_not_found',
    ]);
    await writeOff(id, 100);
    expect(said(await recover(id, '2026-02-28'))).toEqual([
      422,
      'date_before_original',
      'The original is dated 2026-03-01, which is after 2026-02-28.',
      ['body /date'],
    ]);
    expect(said(await recover(id, '2999-01-01')).slice(0, 2)).toEqual([422, 'date_too_late']);
  });

  test('makes no more due than the total, as of any day: a refund that was voided later had made it due already', async () => {
    const id = await company.invoice({ total: 200 });
    const { json: payment } = await pay(id, 100, '2026-02-01');
    const { json: paidBack } = await refund(payment.id, 100, '2026-02-05');
    await writeOff(id, 100, { date: '2026-02-05' });
    const undo = (path: string, date: string) => send(company.api, path, { reason: 'Wrong', date });
    expect((await undo(`/api/refunds/${paidBack.id}/void`, '2026-02-10')).status).toBe(200);
    // As of the 6th to the 9th, the payment is taken back twice, which the write-off hides.
    expect((await undo(`/api/payments/${payment.id}/void`, '2026-02-06')).status).toBe(200);
    const refused = [422, 'as_of_conflict', '2.00 USD is due on the invoice as of 2026-02-06 already.', ['body /date']];
    expect(said(await recover(id, '2026-02-06'))).toEqual(refused);
    expect((await recover(id, '2026-02-10')).json.amountDue).toBe(200);
  });

  test('is refused, as a write-off is, where the books are closed', async () => {
    const own = await system.company();
    const invoiceId = await own.invoice({ total: 200 });
    const body = { amount: 100, reason: 'Gone', date: '2026-01-31' };
    await own.api.created(`/api/invoices/${invoiceId}/write-off`, body);
    const closing = { expectedVersion: 1, booksClosedThrough: '2026-01-31' };
    await own.api.created('/api/company/settings', closing, { method: 'PATCH' });
    const refused = [409, 'period_closed', 'The books are closed through 2026-01-31.', ['body /date']];
    expect(said(await own.api.post(`/api/invoices/${invoiceId}/write-off`, body))).toEqual(refused);
    const { amount: _, ...back } = body;
    expect(said(await own.api.post(`/api/invoices/${invoiceId}/recover-write-off`, back))).toEqual(refused);
  });
});

describe('at once', () => {
  test('20 write-offs never give up more than is due, and their shares come to the tax of all of them', async () => {
    const id = await taxed(1_000, '1');
    const answers = await Promise.all(times(20, (index) => writeOff(id, 70, { taxRelief: true }, index)));
    expect(tally(answers)).toEqual({ '200': 15, '422 write_off_exceeds_due': 5 });
    const { rows } = await system.owner.query(
      'SELECT sum(tax_minor)::int AS tax FROM write_offs WHERE invoice_id = $1',
      [id],
    );
    // 83 × 1 050 / 1 083 = 80.47.
    expect(rows[0].tax).toBe(80);
    expect(await brokenControls(system.owner)).toEqual({});
  });

  test('many recoveries take back each write-off once', async () => {
    const id = await company.invoice({ total: 1_000 });
    for (let count = 0; count < 4; count += 1) await writeOff(id, 100);
    const answers = await Promise.all(times(10, (index) => recover(id, '2026-04-01', index)));
    expect(tally(answers)).toEqual({ '200': 4, '409 nothing_written_off': 6 });
    expect(await stateOf(id)).toMatchObject({ amountWrittenOff: 0, amountDue: 1_000 });
  });

  test('a recovery that waited for a write-off takes that one back', async () => {
    const id = await company.invoice({ total: 1_000 });
    await writeOff(id, 100);
    const held = await holdInvoice(system.owner, id);
    const writing = writeOff(id, 200);
    await untilWaiting(system.owner, 1);
    const recovering = recover(id, '2026-04-01', 1);
    await untilWaiting(system.owner, 2);
    await held.release();
    expect((await writing).json.amountWrittenOff).toBe(300);
    expect((await recovering).json.amountWrittenOff).toBe(100);
  });

  test('write-offs, recoveries, payments, credit notes and voids of one invoice: none goes below zero or above the total', async () => {
    for (let round = 0; round < 4; round += 1) {
      const id = await company.invoice({ total: 1_000 });
      const answers = await Promise.all([
        ...times(5, (index) => writeOff(id, 150, {}, index)),
        ...times(4, (index) => recover(id, '2026-04-01', index)),
        ...times(4, (index) => pay(id, 200, '2026-04-01', index)),
        ...times(4, (index) => credit(id, 150, index)),
        voiding(id),
      ]);
      const surprising = Object.keys(tally(answers)).filter(
        (one) => !/^20[01]$|exceeds|as_of_conflict|invoice_not_|nothing_written_off/.test(one),
      );
      expect(surprising).toEqual([]);
    }
    expect(await brokenControls(system.owner)).toEqual({});
    const { rows } = await system.owner.query(
      'SELECT deadlocks::int AS deadlocks FROM pg_stat_database WHERE datname = current_database()',
    );
    expect(rows[0].deadlocks).toBe(0);
  });
});

describe.each<Actor>(['application', 'owner'])('the database, of the %s,', (actor) => {
  const record = (id: string, amount: number, tax: number) =>
    sql.as(actor, company.id, (session) =>
      session.query(
        `SELECT record_write_off(p_company => $1, p_write_off => gen_random_uuid(), p_invoice => $2, p_amount => $3, p_tax => $4,
           p_tax_relief => true, p_date => '2026-03-01', p_reason => 'By hand',
           p_entry => (SELECT journal_entry_id FROM invoices WHERE company_id = $1 AND id = $2))`,
        [company.id, id, amount, tax],
      ),
    );

  test('takes no other share of the tax, and no more than is due', async () => {
    const id = await taxed();
    await writeOff(id, 200);
    for (const tax of [7, 9])
      await expect(record(id, 100, tax)).rejects.toMatchObject({ constraint: 'write_off_tax_share' });
    await expect(record(id, 342, 26)).rejects.toMatchObject({ code: '23514' });
  });

  test('takes back the latest alone', async () => {
    const id = await company.invoice({ total: 100 });
    for (const amount of [10, 20]) await writeOff(id, amount);
    const first = sql.as(actor, company.id, (session) =>
      session.query(
        `UPDATE write_offs SET recovered_on = '2026-04-01', recover_reason = 'By hand', recover_entry_id = journal_entry_id
         WHERE company_id = $1 AND invoice_id = $2 AND position = 1`,
        [company.id, id],
      ),
    );
    await expect(first).rejects.toMatchObject({ constraint: 'not_latest_write_off' });
  });
});

test('the database rounds a share as the code does, also of the largest amounts', async () => {
  const large = 10n ** 13n;
  const cases = [1n, 2n, 3n, 7n, large - 1n, large].flatMap((denominator) =>
    [
      0n,
      1n,
      2n,
      denominator / 2n,
      denominator - 1n,
      large,
      large * large - 1n,
      large * (denominator / 2n) + 1n,
    ].flatMap((numerator) => [[numerator, denominator] as const, [-numerator, denominator] as const]),
  );
  const { rows } = await system.owner.query(
    'SELECT half_away(n, d)::text AS rounded FROM unnest($1::numeric[], $2::numeric[]) WITH ORDINALITY AS t (n, d, o) ORDER BY o',
    [cases.map(([numerator]) => String(numerator)), cases.map(([, denominator]) => String(denominator))],
  );
  expect(rows.map(({ rounded }) => BigInt(rounded))).toEqual(
    cases.map(([numerator, denominator]) => divideHalfAway(numerator, denominator)),
  );
});
