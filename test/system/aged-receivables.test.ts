import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type System, startSystem } from '../support/system.ts';

type Aged = readonly [notDue: number, days1to30: number, days31to60: number, days61to90: number, over90: number];

describe('aged receivables', () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem();
  });
  afterAll(() => system.stop());

  async function books() {
    const company = await system.company();
    const { api } = company;
    const invoice = async (
      customerId: string,
      total: number,
      [issueDate, dueDate]: readonly [string, string],
      currency = 'USD',
    ): Promise<string> => {
      const lines = [{ description: 'Work', quantity: '1', unitPrice: total }];
      const { id } = await api.created('/api/invoices', { customerId, currency, issueDate, dueDate, lines });
      await api.created(`/api/invoices/${id}/finalize`, {});
      return id;
    };
    const pay = async (invoiceId: string, amount: number, receivedOn: string): Promise<string> =>
      (await api.created('/api/payments', { invoiceId, amount, currency: 'USD', method: 'card', receivedOn })).id;
    const refund = (paymentId: string, amount: number, date: string) =>
      api.created('/api/refunds', { paymentId, amount, reason: 'Back', date });
    const credit = (invoiceId: string, net: number, date: string) =>
      api.created(`/api/invoices/${invoiceId}/credit-notes`, {
        lines: [{ lineNumber: 1, net }],
        reason: 'Discount',
        date,
      });
    const voiding = (invoiceId: string, date: string) =>
      api.created(`/api/invoices/${invoiceId}/void`, { reason: 'Wrong', date });
    const aged = async (asOf: string, role: 'owner' | 'manager' = 'owner'): Promise<Record<string, Aged>> => {
      const { items } = (await company.as(role).get(`/api/reports/aged-receivables?asOf=${asOf}`)).json;
      return Object.fromEntries(
        items.map((item: Record<string, number>) => [
          `${item['customerId']} ${item['currency']}`,
          [item['notDue'], item['days1to30'], item['days31to60'], item['days61to90'], item['over90']],
        ]),
      );
    };
    /** What accounts receivable held at the end of that day. */
    const receivable = async (asOf: string): Promise<number> => {
      const { items } = (await api.get(`/api/ledger/trial-balance?asOf=${asOf}`)).json;
      const account = items.find((item: { accountCode: string }) => item.accountCode === '1100');
      return account === undefined ? 0 : account.debit - account.credit;
    };
    return { company, invoice, pay, refund, credit, voiding, aged, receivable };
  }

  test('an invoice is not due on its due date, and grows older from the day after', async () => {
    const { company, invoice, aged } = await books();
    const customerId = await company.customer();
    await invoice(customerId, 700, ['2026-01-10', '2026-01-31']);
    for (const [asOf, ages] of [
      ['2026-01-09', undefined],
      ['2026-01-10', [700, 0, 0, 0, 0]],
      ['2026-01-31', [700, 0, 0, 0, 0]],
      ['2026-02-01', [0, 700, 0, 0, 0]],
      ['2026-03-02', [0, 700, 0, 0, 0]], // 30 days
      ['2026-03-03', [0, 0, 700, 0, 0]],
      ['2026-04-01', [0, 0, 700, 0, 0]], // 60 days
      ['2026-04-02', [0, 0, 0, 700, 0]],
      ['2026-05-01', [0, 0, 0, 700, 0]], // 90 days
      ['2026-05-02', [0, 0, 0, 0, 700]],
    ] as const) {
      expect([asOf, (await aged(asOf))[`${customerId} USD`]]).toEqual([asOf, ages]);
    }
  });

  test('each customer has a row for each currency, and one who owes nothing has none', async () => {
    const { company, invoice, pay, aged } = await books();
    const [dollars, euros, none] = [await company.customer(), await company.customer('EUR'), await company.customer()];
    await invoice(dollars, 100, ['2026-01-01', '2026-01-31']);
    await invoice(dollars, 20, ['2026-01-01', '2026-03-31']);
    await invoice(dollars, 3, ['2026-01-01', '2026-03-15']);
    await invoice(euros, 55, ['2026-01-01', '2026-01-05'], 'EUR');
    await company.draftInvoice({ customerId: none, issueDate: '2026-01-01' });
    await pay(await invoice(none, 9, ['2026-01-01', '2026-01-31']), 9, '2026-01-02');
    const expected = { [`${dollars} USD`]: [23, 0, 100, 0, 0], [`${euros} EUR`]: [0, 0, 0, 55, 0] };
    expect(await aged('2026-03-10')).toEqual(expected);
    expect(await aged('2026-03-10', 'manager')).toEqual(expected);
  });

  test('payments, refunds, credits and voids count from their dates, and it agrees with the ledger on each day', async () => {
    const { company, invoice, pay, refund, credit, voiding, aged, receivable } = await books();
    const customerId = await company.customer();
    const [first, second] = [
      await invoice(customerId, 1_000, ['2026-01-01', '2026-12-31']),
      await invoice(customerId, 300, ['2026-01-05', '2026-12-31']),
    ];
    const payment = await pay(first, 600, '2026-01-10');
    await credit(first, 150, '2026-01-12');
    await refund(payment, 100, '2026-01-20');
    await voiding(second, '2026-01-15');
    for (const [asOf, open] of [
      ['2026-01-04', 1_000],
      ['2026-01-05', 1_300],
      ['2026-01-09', 1_300],
      ['2026-01-10', 700],
      ['2026-01-12', 550],
      ['2026-01-14', 550],
      ['2026-01-15', 250],
      ['2026-01-19', 250],
      ['2026-01-20', 350],
    ] as const) {
      const [notDue] = (await aged(asOf))[`${customerId} USD`] ?? [];
      expect([asOf, notDue, await receivable(asOf)]).toEqual([asOf, open, open]);
    }
  });

  test('what came in after a void that is dated earlier is owed to the customer until it went back', async () => {
    const { company, invoice, pay, refund, voiding, aged, receivable } = await books();
    const customerId = await company.customer();
    const id = await invoice(customerId, 500, ['2026-01-01', '2026-12-31']);
    await refund(await pay(id, 500, '2026-01-10'), 500, '2026-01-20');
    await voiding(id, '2026-01-20');
    await redate('invoices', id, '2026-01-05');
    expect(await aged('2026-01-07')).toEqual({});
    expect(await aged('2026-01-12')).toEqual({ [`${customerId} USD`]: [-500, 0, 0, 0, 0] });
    expect(await receivable('2026-01-12')).toBe(-500);
    expect(await aged('2026-01-20')).toEqual({});
  });

  test('a payment from before there was a rule, dated before its invoice, is owed to the customer until that is issued', async () => {
    const { company, invoice, pay, aged, receivable } = await books();
    const customerId = await company.customer();
    const id = await invoice(customerId, 500, ['2026-01-10', '2026-12-31']);
    await redate('payments', await pay(id, 200, '2026-01-10'), '2026-01-05');
    for (const [asOf, notDue] of [
      ['2026-01-04', undefined],
      ['2026-01-05', -200],
      ['2026-01-09', -200],
      ['2026-01-10', 300],
    ] as const) {
      const [told] = (await aged(asOf))[`${customerId} USD`] ?? [];
      expect([asOf, told, await receivable(asOf)]).toEqual([asOf, notDue, notDue ?? 0]);
    }
  });

  /** Dates a payment, or the void of an invoice, and its entry otherwise, as nothing can but what is older than the rules. */
  async function redate(table: 'payments' | 'invoices', id: string, day: string): Promise<void> {
    const session = await system.owner.connect();
    try {
      await session.query('BEGIN');
      await session.query("SET LOCAL session_replication_role = 'replica'");
      const column = table === 'payments' ? 'received_on' : 'voided_on';
      await session.query(`UPDATE ${table} SET ${column} = $2 WHERE id = $1`, [id, day]);
      const entry = table === 'payments' ? 'id' : 'reverses';
      await session.query(
        `UPDATE journal_entries SET entry_date = $2 WHERE ${entry} = (SELECT journal_entry_id FROM ${table} WHERE id = $1)`,
        [id, day],
      );
      await session.query('COMMIT');
    } finally {
      session.release();
    }
  }

  test('without a day it is of today', async () => {
    const { company } = await books();
    const { rows } = await system.owner.query('SELECT company_today($1)::text AS today', [company.id]);
    const answer = await company.api.get('/api/reports/aged-receivables');
    expect([answer.status, answer.json]).toEqual([200, { asOf: rows[0].today, items: [] }]);
    expect((await company.api.get('/api/reports/aged-receivables?asOf=soon')).json.code).toBe('validation_failed');
  });
});
