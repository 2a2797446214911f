import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { bankTransaction, matching } from '../support/bank.ts';
import { addAccount, closeBooks, readEntry } from '../support/books.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  await addAccount(company, { code: '1010', type: 'asset', isBank: true });
});
afterAll(() => system.stop());

const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const told = ({ status, json }: Answer) => [status, json.code];
const conflict = (detail: string) => [422, 'as_of_conflict', detail, [{ in: 'body', pointer: '/date' }]];
const inFull = ({ status, json }: Answer) => [status, json.code, json.detail, json.errors];
const invoice = async (id: string) => (await company.api.get(`/api/invoices/${id}`)).json;
const pay = (invoiceId: string, amount: number, more: object = {}) =>
  company.api.created('/api/payments', {
    ...{ invoiceId, amount, currency: 'USD', method: 'check', receivedOn: '2026-02-01' },
    ...more,
  });
const refunding = (paymentId: string, amount: number, date = '2026-02-10') =>
  company.api.post('/api/refunds', { paymentId, amount, reason: 'Back', date });
const refund = async (...asked: Parameters<typeof refunding>) => (await refunding(...asked)).json;
const voiding = (path: string, more: object = {}, key?: string) =>
  company.api.post(
    `/api/${path}/void`,
    { reason: 'Wrong', date: '2026-02-20', ...more },
    key === undefined ? {} : { key },
  );
const bankLineOf = async (entryId: string): Promise<string> => {
  const { lines } = (await company.api.get(`/api/ledger/entries/${entryId}`)).json;
  return lines.find(({ accountCode }: { accountCode: string }) => accountCode.startsWith('10')).id;
};
const mirrorOf = async (entryId: string): Promise<string> =>
  (await system.owner.query('SELECT id FROM journal_entries WHERE reverses = $1', [entryId])).rows[0]?.id;
const reconcile = async (amount: number, lineId: string) =>
  company.api.post(`/api/ledger/reconcile/${await bankTransaction(company.api, amount)}`, matching(lineId));

/** An invoice over 100, paid in full on the 1st of February, of which so much was refunded on the 10th. */
async function refunded(amount: number) {
  const invoiceId = await company.invoice({ issueDate: '2026-01-15', total: 100 });
  const payment = await pay(invoiceId, 100);
  return { invoiceId, payment, refund: await refund(payment.id, amount) };
}

describe('voiding a payment', () => {
  test('posts the mirror of its entry, and its amount is due again', async () => {
    const invoiceId = await company.invoice({ total: 1_000 });
    const payment = await pay(invoiceId, 600, { bankAccountCode: '1010' });
    expect(payment).toMatchObject({ voidedOn: null, voidReason: null, bounced: null });
    const answer = await voiding(`payments/${payment.id}`, {}, 'void-payment');
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({ ...payment, voidedOn: '2026-02-20', voidReason: 'Wrong', bounced: false });
    expect(answer.headers.get('location')).toBe(`/api/payments/${payment.id}`);
    expect((await company.api.get(`/api/payments/${payment.id}`)).json).toEqual(answer.json);
    expect(await readEntry(system.owner, company.id, await mirrorOf(payment.journalEntryId))).toEqual({
      date: '2026-02-20',
      operation: 'voidPayment',
      lines: [
        ['1010', -600, 'USD'],
        ['1100', 600, 'USD'],
      ],
    });
    expect(await invoice(invoiceId)).toMatchObject({ status: 'finalized', amountPaid: 0, amountDue: 1_000 });
    const effects = { companyId: company.id, table: 'payments', key: 'void-payment' };
    expect(await countEffects(system.owner, effects)).toMatchObject({ writes: 1, entries: 1, newAudit: 1, events: 1 });
    const again = await voiding(`payments/${payment.id}`, {}, 'void-payment');
    expect([again.status, again.text, again.replayed]).toEqual([200, answer.text, true]);
    const { rows } = await system.owner.query(
      "SELECT kind FROM outbox WHERE payload -> 'resource' ->> 'id' = $1 ORDER BY kind",
      [payment.id],
    );
    expect(rows.map(({ kind }) => kind)).toEqual(['payment.created', 'payment.voided']);
  });

  test('shows in the history of its invoice, which can be paid again, and voided once nothing is paid', async () => {
    const invoiceId = await company.invoice({ total: 100 });
    const payment = await pay(invoiceId, 100);
    expect(told(await voiding(`invoices/${invoiceId}`))).toEqual([409, 'invoice_not_voidable']);
    expect((await voiding(`payments/${payment.id}`)).status).toBe(200);
    const second = await pay(invoiceId, 100, { receivedOn: '2026-02-20' });
    const { entries, payments } = await invoice(invoiceId);
    const numbers = payments.map(({ number }: { number: string }) => number);
    expect([entries.length, numbers]).toEqual([4, [second.number, payment.number]]);
    expect((await voiding(`payments/${second.id}`)).status).toBe(200);
    expect((await voiding(`invoices/${invoiceId}`)).json).toMatchObject({ status: 'void', amountDue: 0 });
  });

  test('is refused the second time, of one that is refunded, and of one that is not there', async () => {
    const { payment } = await refunded(1);
    expect(told(await voiding(`payments/${payment.id}`))).toEqual([409, 'payment_refunded']);
    const other = await pay(await company.invoice(), 100);
    expect((await voiding(`payments/${other.id}`)).status).toBe(200);
    expect(told(await voiding(`payments/${other.id}`, { date: '2026-02-21' }))).toEqual([409, 'already_voided']);
    expect(told(await voiding(`payments/${UNKNOWN}`))).toEqual([404, 'payment_not_found']);
    expect(inFull(await refunding(other.id, 1))).toEqual([
      ...[422, 'refund_exceeds_payment', 'Nothing is left of the payment: it was voided on 2026-02-20.'],
      [{ in: 'body', pointer: '/paymentId' }],
    ]);
  });

  test('is dated today if no date is given, never before the payment, in an open period, and not too far ahead', async () => {
    const { rows } = await system.owner.query(
      'SELECT company_today($1)::text AS today, (company_today($1) + 367)::text AS late',
      [company.id],
    );
    const [payment, other] = [await pay(await company.invoice(), 100), await pay(await company.invoice(), 100)];
    expect(told(await voiding(`payments/${payment.id}`, { date: '2026-01-31' }))).toEqual([
      422,
      'date_before_original',
    ]);
    expect(told(await voiding(`payments/${payment.id}`, { date: rows[0].late }))).toEqual([422, 'date_too_late']);
    await closeBooks(company, '2026-02-20');
    expect(inFull(await voiding(`payments/${payment.id}`))).toEqual([
      ...[409, 'period_closed', 'The books are closed through 2026-02-20.'],
      [{ in: 'body', pointer: '/date' }],
    ]);
    await closeBooks(company, '2025-12-31');
    expect((await voiding(`payments/${payment.id}`, { date: '2026-02-01' })).json.voidedOn).toBe('2026-02-01');
    expect((await voiding(`payments/${other.id}`, { date: undefined })).json.voidedOn).toBe(rows[0].today);
  });

  test('its entry and the mirror are taken back by no manual reversal', async () => {
    const payment = await pay(await company.invoice(), 100);
    await voiding(`payments/${payment.id}`);
    for (const entryId of [payment.journalEntryId, await mirrorOf(payment.journalEntryId)]) {
      const answer = await company.api.post(`/api/ledger/entries/${entryId}/reverse`, {
        reason: 'No',
        date: '2026-03-01',
      });
      expect(told(answer)).toEqual([409, 'entry_not_reversible']);
    }
  });

  test('is refused before a refund of it was voided, since more than the total would be due', async () => {
    const { invoiceId, payment, refund: made } = await refunded(40);
    expect((await voiding(`refunds/${made.id}`, { date: '2026-02-15' })).status).toBe(200);
    for (const [date, day] of [
      ['2026-02-05', '2026-02-10'],
      ['2026-02-14', '2026-02-14'],
    ] as const) {
      const refusal = conflict(`0.40 USD is due on the invoice as of ${day} already.`);
      expect(inFull(await voiding(`payments/${payment.id}`, { date }))).toEqual(refusal);
    }
    expect((await voiding(`payments/${payment.id}`, { date: '2026-02-15' })).status).toBe(200);
    const aged = await company.api.get('/api/reports/aged-receivables?asOf=2026-02-14');
    expect(aged.status).toBe(200);
    expect(await invoice(invoiceId)).toMatchObject({ amountPaid: 0, amountDue: 100 });
  });
});

describe('the bank lines of what is void', () => {
  test('match each other, so that neither is reconciled any more', async () => {
    const payment = await pay(await company.invoice(), 100);
    const back = await refund((await pay(await company.invoice(), 100)).id, 30);
    for (const [path, entryId, amount] of [
      [`payments/${payment.id}`, payment.journalEntryId, 100],
      [`refunds/${back.id}`, back.journalEntryId, -30],
    ] as const) {
      expect((await voiding(path)).status).toBe(200);
      for (const [line, sign] of [
        [await bankLineOf(entryId), 1],
        [await bankLineOf(await mirrorOf(entryId)), -1],
      ] as const) {
        expect(told(await reconcile(sign * amount, line))).toEqual([422, 'journal_line_not_matchable']);
      }
    }
  });

  test('stay matchable each by itself where the payment bounced, and can be set back', async () => {
    const payment = await pay(await company.invoice(), 100);
    const voided = await voiding(`payments/${payment.id}`, { bounced: true });
    expect(voided.json).toMatchObject({ bounced: true });
    const [came, went] = [
      await reconcile(100, await bankLineOf(payment.journalEntryId)),
      await reconcile(-100, await bankLineOf(await mirrorOf(payment.journalEntryId))),
    ];
    expect([came.json.status, went.json.status]).toEqual(['reconciled', 'reconciled']);
    expect(await brokenControls(system.owner)).toEqual({});
    const back = await company.api.post(`/api/ledger/unreconcile/${went.json.id}`, { reason: 'Another one' });
    expect(back.json).toMatchObject({ status: 'unreconciled', journalLineIds: [] });
  });

  test('are not reconciled: the bank transaction is set back first', async () => {
    const payment = await pay(await company.invoice(), 100);
    const back = await refund((await pay(await company.invoice(), 100)).id, 30);
    for (const [path, entryId, amount, more] of [
      [`payments/${payment.id}`, payment.journalEntryId, 100, { bounced: true }],
      [`payments/${payment.id}`, payment.journalEntryId, 100, {}],
      [`refunds/${back.id}`, back.journalEntryId, -30, {}],
    ] as const) {
      const matched = await reconcile(amount, await bankLineOf(entryId));
      expect(told(await voiding(path, more))).toEqual([409, 'line_reconciled']);
      await company.api.created(`/api/ledger/unreconcile/${matched.json.id}`, { reason: 'To void it' });
    }
    expect((await voiding(`payments/${payment.id}`)).status).toBe(200);
    expect((await voiding(`refunds/${back.id}`)).status).toBe(200);
  });
});

describe('voiding a refund', () => {
  test('posts the mirror of its entry, and its amount is paid again', async () => {
    const { invoiceId, payment, refund: made } = await refunded(30);
    const answer = await voiding(`refunds/${made.id}`, {}, 'void-refund');
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({ ...made, voidedOn: '2026-02-20', voidReason: 'Wrong' });
    expect((await company.api.get(`/api/refunds/${made.id}`)).json).toEqual(answer.json);
    expect(await readEntry(system.owner, company.id, await mirrorOf(made.journalEntryId))).toEqual({
      date: '2026-02-20',
      operation: 'voidRefund',
      lines: [
        ['1100', -30, 'USD'],
        ['1000', 30, 'USD'],
      ],
    });
    expect((await company.api.get(`/api/payments/${payment.id}`)).json.refunded).toBe(0);
    expect(await invoice(invoiceId)).toMatchObject({ status: 'paid', amountPaid: 100, amountDue: 0 });
    const again = await voiding(`refunds/${made.id}`, {}, 'void-refund');
    expect([again.status, again.text, again.replayed]).toEqual([200, answer.text, true]);
    expect(told(await voiding(`refunds/${made.id}`))).toEqual([409, 'already_voided']);
    expect(told(await voiding(`refunds/${UNKNOWN}`))).toEqual([404, 'refund_not_found']);
    expect((await refunding(payment.id, 100, '2026-02-20')).status).toBe(201);
  });

  test('is refused where the invoice is paid, credited or void meanwhile: as much as is due can be paid again', async () => {
    const [paid, credited, voided] = [await refunded(30), await refunded(30), await refunded(100)];
    await pay(paid.invoiceId, 1, { receivedOn: '2026-02-10' });
    await company.api.created(`/api/invoices/${credited.invoiceId}/credit-notes`, {
      ...{ lines: [{ lineNumber: 1, net: 1 }], reason: 'Discount', date: '2026-02-10' },
    });
    expect((await voiding(`invoices/${voided.invoiceId}`)).status).toBe(200);
    for (const { refund: made } of [paid, credited, voided]) {
      expect(told(await voiding(`refunds/${made.id}`))).toEqual([409, 'invoice_overpaid']);
    }
  });

  test('is dated on or after the refund, and takes no more than is due as of any day', async () => {
    const { invoiceId, refund: made } = await refunded(100);
    expect(told(await voiding(`refunds/${made.id}`, { date: '2026-02-09' }))).toEqual([422, 'date_before_original']);
    const second = await pay(invoiceId, 100, { receivedOn: '2026-02-12' });
    expect((await voiding(`payments/${second.id}`, { date: '2026-02-18' })).status).toBe(200);
    for (const [date, day] of [
      ['2026-02-11', '2026-02-12'],
      ['2026-02-17', '2026-02-17'],
    ] as const) {
      const refusal = conflict(`0.00 USD is due on the invoice as of ${day}.`);
      expect(inFull(await voiding(`refunds/${made.id}`, { date }))).toEqual(refusal);
    }
    expect((await voiding(`refunds/${made.id}`, { date: '2026-02-18' })).status).toBe(200);
  });

  test('the payment is refunded again only once the first refund is void, as of each day', async () => {
    const { payment, refund: made } = await refunded(100);
    expect((await voiding(`refunds/${made.id}`, { date: '2026-02-15' })).status).toBe(200);
    const early = await refunding(payment.id, 1, '2026-02-05');
    expect(inFull(early)).toEqual(conflict('As of 2026-02-10, only 0.00 USD can become due again.'));
    expect(told(await refunding(payment.id, 100, '2026-02-14'))).toEqual([422, 'as_of_conflict']);
    expect((await refunding(payment.id, 100, '2026-02-15')).status).toBe(201);
  });
});

describe('what is due as of a day', () => {
  test('counts a void from its own day on, in the report and in the control of the month', async () => {
    const own = await system.company();
    const invoiceId = await own.invoice({ issueDate: '2026-01-15', total: 100 });
    const body = { invoiceId, amount: 60, currency: 'USD', method: 'check', receivedOn: '2026-02-01' };
    const payment = await own.api.created('/api/payments', body);
    await own.api.created(`/api/payments/${payment.id}/void`, { reason: 'Bounced', date: '2026-02-20', bounced: true });
    const dueAsOf = async (day: string) => {
      const { items } = (await own.api.get(`/api/reports/aged-receivables?asOf=${day}`)).json;
      const { rows } = await system.owner.query(
        `SELECT sum(l.amount_minor)::int AS books FROM journal_lines l
         JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
         JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
         WHERE l.company_id = $1 AND a.code = '1100' AND e.entry_date <= $2`,
        [own.id, day],
      );
      return [items[0].notDue, rows[0].books];
    };
    expect(await dueAsOf('2026-01-31')).toEqual([100, 100]);
    expect(await dueAsOf('2026-02-19')).toEqual([40, 40]);
    expect(await dueAsOf('2026-02-20')).toEqual([100, 100]);
  });
});

test('all books of this file are right, whatever was refused in them', async () => {
  expect(await brokenControls(system.owner)).toEqual({});
});
