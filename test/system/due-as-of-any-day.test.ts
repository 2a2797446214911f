import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
});
afterAll(() => system.stop());

const pay = (invoiceId: string, amount: number, receivedOn: string) =>
  company.api.post('/api/payments', { invoiceId, amount, currency: 'USD', method: 'card', receivedOn });
const credit = (invoiceId: string, net: number, date: string) =>
  company.api.post(`/api/invoices/${invoiceId}/credit-notes`, {
    lines: [{ lineNumber: 1, net }],
    reason: 'Discount',
    date,
  });
const voiding = (invoiceId: string, date?: string) =>
  company.api.post(`/api/invoices/${invoiceId}/void`, { reason: 'Wrong', date });

/** An invoice of the 15th of January over 100, of which so much was paid on the 1st of February until the 1st of March. */
async function refunded(amount: number): Promise<string> {
  const invoiceId = await company.invoice({ issueDate: '2026-01-15', total: 100 });
  const { id } = (await pay(invoiceId, amount, '2026-02-01')).json;
  await company.api.created('/api/refunds', { paymentId: id, amount, reason: 'Back', date: '2026-03-01' });
  return invoiceId;
}

const told = ({ status, json }: Answer) => [status, json.code, json.detail, json.errors];
const refusedAs = (detail: string, pointer: string) => [422, 'as_of_conflict', detail, [{ in: 'body', pointer }]];

describe('what is due as of a day', () => {
  test('was paid: no void takes it from a day before the refund', async () => {
    const id = await refunded(60);
    const early = await voiding(id, '2026-01-20');
    expect(told(early)).toEqual(refusedAs('0.60 USD of the invoice is paid as of 2026-02-01.', '/date'));
    const between = await voiding(id, '2026-02-28');
    expect(told(between)).toEqual(refusedAs('0.60 USD of the invoice is paid as of 2026-02-28.', '/date'));
    expect(between.json.nextAction).toBe('fix_request');
    expect((await voiding(id, '2026-03-01')).json).toMatchObject({ status: 'void', voidedOn: '2026-03-01' });
  });

  test('was paid: no second payment takes it', async () => {
    const id = await refunded(60);
    const detail = '0.40 USD is due on the invoice as of 2026-02-01.';
    expect(told(await pay(id, 41, '2026-01-20'))).toEqual(refusedAs(detail, '/receivedOn'));
    expect((await pay(id, 40, '2026-01-20')).status).toBe(201);
    expect((await pay(id, 60, '2026-02-28')).json.code).toBe('as_of_conflict');
    expect((await pay(id, 60, '2026-03-01')).json).toMatchObject({ receivedOn: '2026-03-01' });
  });

  test('was paid: no credit note takes it', async () => {
    const id = await refunded(60);
    const detail = 'The note is over 0.41 USD; 0.40 USD is due as of 2026-02-10.';
    expect(told(await credit(id, 41, '2026-02-10'))).toEqual(refusedAs(detail, '/date'));
    expect((await credit(id, 40, '2026-02-10')).status).toBe(201);
    expect((await credit(id, 60, '2026-03-01')).status).toBe(201);
  });

  test('counts today where a date is left out', async () => {
    const { rows } = await system.owner.query(
      'SELECT company_today($1)::text AS today, (company_today($1) + 2)::text AS later',
      [company.id],
    );
    const id = await company.invoice({ issueDate: '2026-01-15', total: 100 });
    const payment = (await pay(id, 100, '2026-02-01')).json;
    const refund = { paymentId: payment.id, amount: 100, reason: 'Back', date: rows[0].later };
    await company.api.created('/api/refunds', refund);
    const now = await voiding(id);
    expect(told(now)).toEqual(refusedAs(`1.00 USD of the invoice is paid as of ${rows[0].today}.`, '/date'));
    expect((await voiding(id, rows[0].later)).status).toBe(200);
  });

  test('is refused by the database itself', async () => {
    const invoices = 'invoices i JOIN accounts a ON a.company_id = i.company_id';
    for (const [day, amount, refusal] of [
      ['2026-02-15', 41, 'as_of_conflict'],
      ['2026-02-15', 40, undefined],
      ['2026-03-01', 100, undefined],
    ] as const) {
      const id = await refunded(60);
      const statements = [
        `INSERT INTO payments (company_id, id, invoice_id, amount_minor, currency, method, received_on, bank_account_id,
           journal_entry_id)
         SELECT i.company_id, gen_random_uuid(), i.id, $2, i.currency, 'card', $3, a.id, i.journal_entry_id
         FROM ${invoices} AND a.code = '1000' WHERE i.id = $1`,
        `INSERT INTO credit_notes (company_id, id, invoice_id, currency, credited_on, reason, net_minor, tax_minor,
           total_minor, journal_entry_id)
         SELECT i.company_id, gen_random_uuid(), i.id, i.currency, $3, 'by hand', $2, 0, $2, i.journal_entry_id
         FROM ${invoices} AND a.code = '1000' WHERE i.id = $1`,
      ];
      for (const statement of statements) {
        expect([day, amount, await refusalOf(statement, [id, amount, day])]).toEqual([day, amount, refusal]);
      }
    }
    const byHand = "UPDATE invoices SET voided_on = $2, void_reason = 'by hand' WHERE id = $1";
    const id = await refunded(60);
    expect(await refusalOf(byHand, [id, '2026-02-28'])).toBe('as_of_conflict');
    expect(await refusalOf(byHand, [id, '2026-03-01'])).toBeUndefined();
  });

  test('cannot be made to look untouched by the application', async () => {
    const id = await refunded(60);
    const client = await system.owner.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT enter_company($1)', [company.id]);
      const setting = client.query('UPDATE invoices SET last_raised_on = NULL WHERE id = $1', [id]);
      await expect(setting).rejects.toMatchObject({ code: '42501' });
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });

  test('rests on the date of the latest refund, whatever the order of refunds', async () => {
    const id = await company.invoice({ issueDate: '2026-01-15', total: 100 });
    const payment = (await pay(id, 100, '2026-02-01')).json;
    for (const date of ['2026-02-10', '2026-03-05', '2026-02-20']) {
      await company.api.created('/api/refunds', { paymentId: payment.id, amount: 10, reason: 'Back', date });
    }
    const { rows } = await system.owner.query('SELECT last_raised_on::text FROM invoices WHERE id = $1', [id]);
    expect(rows).toEqual([{ last_raised_on: '2026-03-05' }]);
  });

  test('is within nothing and its total in all books of this test', async () => {
    expect(await brokenControls(system.owner)).toEqual({});
  });
});

/** The constraint that refuses a statement of the owner; undefined if none does. It is undone in any case. */
async function refusalOf(statement: string, values: readonly unknown[]): Promise<string | undefined> {
  const client = await system.owner.connect();
  try {
    await client.query('BEGIN');
    await client.query(statement, [...values]);
    return undefined;
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    return error.constraint;
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
}
