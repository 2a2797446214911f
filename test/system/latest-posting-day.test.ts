import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import { bankLine, bankTransaction } from '../support/bank.ts';
import { changeSettings } from '../support/books.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { hire, payRun, stockedItem } from '../support/payroll.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await companyPostingAhead(30);
});
afterAll(() => system.stop());

async function companyPostingAhead(days: number): Promise<Company> {
  const made = await system.company();
  await changeSettings(made, { latestPostingDays: days });
  return made;
}

/** Today in the company's time zone, and so many days later. */
async function ahead(of: Company, days: number): Promise<string> {
  const { rows } = await system.owner.query('SELECT (company_today($1) + $2::integer)::text AS day', [of.id, days]);
  return rows[0].day;
}

const lines = [
  { accountCode: '1000', amount: 5 },
  { accountCode: '3000', amount: -5 },
];

/** What posts on a day that the request names; the member that names it. */
const POSTINGS: Readonly<Record<string, readonly [pointer: string, send: (day: string) => Promise<Answer>]>> = {
  createPayment: [
    '/receivedOn',
    async (receivedOn) =>
      company.api.post('/api/payments', {
        invoiceId: await company.invoice(),
        amount: 1,
        currency: 'USD',
        method: 'card',
        receivedOn,
      }),
  ],
  finalizeInvoice: [
    '/issueDate',
    async (issueDate) => {
      const customerId = await company.customer();
      const priced = [{ description: 'Work', quantity: '1', unitPrice: 5 }];
      const draft = { customerId, currency: 'USD', issueDate: '2026-01-15', dueDate: '2999-12-31', lines: priced };
      const { id } = await company.api.created('/api/invoices', draft);
      return company.api.post(`/api/invoices/${id}/finalize`, { issueDate });
    },
  ],
  voidInvoice: [
    '/date',
    async (date) => company.api.post(`/api/invoices/${await company.invoice()}/void`, { reason: 'Twice', date }),
  ],
  createCreditNote: [
    '/date',
    async (date) =>
      company.api.post(`/api/invoices/${await company.invoice()}/credit-notes`, {
        lines: [{ lineNumber: 1, net: 1 }],
        reason: 'Discount',
        date,
      }),
  ],
  createRefund: [
    '/date',
    async (date) => {
      const payment = { invoiceId: await company.invoice(), amount: 1, currency: 'USD', method: 'card' };
      const { id } = await company.api.created('/api/payments', { ...payment, receivedOn: '2026-02-01' });
      return company.api.post('/api/refunds', { paymentId: id, amount: 1, reason: 'Twice', date });
    },
  ],
  createJournalEntry: [
    '/date',
    (date) => company.api.post('/api/ledger/entries', { date, description: 'By hand', currency: 'USD', lines }),
  ],
  reverseJournalEntry: [
    '/date',
    async (date) => {
      const { entryId } = await bankLine(company.api, 5);
      return company.api.post(`/api/ledger/entries/${entryId}/reverse`, { reason: 'Twice', date });
    },
  ],
  createInventoryItem: [
    '/date',
    (date) =>
      company.api.post('/api/inventory/items', {
        ...{ sku: randomUUID(), name: 'Lamp', currency: 'USD', openingQuantity: 1, openingUnitCost: 1 },
        date,
      }),
  ],
  adjustInventory: [
    '/date',
    async (date) => {
      const { id } = await stockedItem(company);
      return company.api.post(`/api/inventory/${id}/adjust`, { quantityDelta: -1, reason: 'Broken', date });
    },
  ],
  executePayroll: [
    '/payRunId',
    async (payDate) => {
      const run = await payRun(company, { payDate, employeeIds: [await hire(company)] });
      return company.api.post(`/api/payroll/pay-runs/${run.id}/execute`, {});
    },
  ],
  voidPayRun: [
    '/date',
    async (date) => {
      const run = await payRun(company, { employeeIds: [await hire(company)] });
      await company.api.created(`/api/payroll/pay-runs/${run.id}/execute`, {});
      return company.api.post(`/api/payroll/pay-runs/${run.id}/void`, { reason: 'A mistake', date });
    },
  ],
  reconcileLedger: [
    '/bankTransactionId',
    async (date) => {
      const id = await bankTransaction(company.api, 5, { date });
      return company.api.post(`/api/ledger/reconcile/${id}`, { matches: [], differenceAccountCode: '6900' });
    },
  ],
};

describe('nothing is posted more than latestPostingDays after today', () => {
  test.each(Object.entries(POSTINGS))('by %s', async (_operation, [pointer, send]) => {
    // A day more than that, because midnight may pass before the transaction begins.
    const late = await send(await ahead(company, 32));
    expect([late.status, late.json.code]).toEqual([422, 'date_too_late']);
    expect(late.json.errors).toEqual([{ in: pointer.endsWith('Id') ? 'path' : 'body', pointer }]);
    const onTheDay = await send(await ahead(company, 30));
    expect([200, 201]).toContain(onTheDay.status);
  });

  test('but what is due later, is a draft or posts nothing may have any date', async () => {
    const far = '2999-12-31';
    const priced = [{ description: 'Work', quantity: '1', unitPrice: 5 }];
    const invoice = { customerId: await company.customer(), currency: 'USD', dueDate: far, lines: priced };
    const due = await company.api.created('/api/invoices', { ...invoice, issueDate: await ahead(company, 30) });
    expect((await company.api.post(`/api/invoices/${due.id}/finalize`, {})).status).toBe(200);
    await company.api.created('/api/invoices', { ...invoice, issueDate: far });
    await company.api.created('/api/inventory/items', { sku: 'EMPTY', name: 'Lamp', currency: 'USD', date: far });
    const { lineId } = await bankLine(company.api, 7);
    const matched = await bankTransaction(company.api, 7, { date: far });
    await company.api.created(`/api/ledger/reconcile/${matched}`, { matches: [{ journalLineId: lineId }] });
  });

  test('by the day of the company’s time zone, as the setting is then', async () => {
    const own = await companyPostingAhead(0);
    const post = (date: string) =>
      own.api.post('/api/ledger/entries', { date, description: 'By hand', currency: 'USD', lines });
    // The two zones are 25 hours apart: the one’s today is never the other’s.
    await changeSettings(own, { timeZone: 'Pacific/Kiritimati' });
    const east = await ahead(own, 0);
    expect((await post(east)).status).toBe(201);
    await changeSettings(own, { timeZone: 'Pacific/Pago_Pago' });
    // Midnight may have passed there since, but not twice.
    const next = await ahead(own, 2);
    expect((await post(next)).json.code).toBe('date_too_late');
    await changeSettings(own, { latestPostingDays: 2 });
    expect((await post(next)).status).toBe(201);
  });

  test('by the database itself, to the day', async () => {
    const posting = (days: number) =>
      system.owner.query(
        `INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description)
         SELECT $1, gen_random_uuid(), gen_random_uuid(), 'byHand', company_today($1) + $2::integer, 'by hand'`,
        [company.id, days],
      );
    await expect(posting(31)).rejects.toMatchObject({ code: '23514', constraint: 'date_too_late' });
    // It passes that rule and meets the next one: no write has this ID.
    await expect(posting(30)).rejects.toMatchObject({ code: '23503' });
  });

  test('and after all of it the books are right', async () => {
    expect(await brokenControls(system.owner)).toEqual({});
  });
});
