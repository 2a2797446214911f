import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { executedPayRun } from '../support/payroll.ts';
import { type System, startSystem } from '../support/system.ts';
import { walk } from '../support/walk.ts';

let system: System;
let company: Company;
let customers: { usd: string; eur: string };
let invoices: { draft: string; january: string; paid: string; eur: string };
let payments: { february: string; march: string; eur: string };

beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  customers = { usd: await company.customer(), eur: await company.customer('EUR') };
  const usd = { customerId: customers.usd };
  invoices = {
    draft: await company.draftInvoice({ ...usd, issueDate: '2026-01-01' }),
    january: await company.invoice({ ...usd, issueDate: '2026-01-31', total: 500 }),
    paid: await company.invoice({ ...usd, issueDate: '2026-02-01', total: 300 }),
    eur: await company.invoice({ customerId: customers.eur, currency: 'EUR', issueDate: '2026-02-10', total: 700 }),
  };
  payments = {
    february: await pay(invoices.paid, 300, 'USD', '2026-02-15'),
    march: await pay(invoices.january, 200, 'USD', '2026-03-01'),
    eur: await pay(invoices.eur, 100, 'EUR', '2026-03-02'),
  };
});
afterAll(() => system.stop());

async function pay(invoiceId: string, amount: number, currency: string, receivedOn: string): Promise<string> {
  const body = { invoiceId, amount, currency, method: 'card', receivedOn };
  return (await company.api.created('/api/payments', body)).id;
}

/** The IDs that a list answers with, on one page and on pages of one, which must be the same. */
async function idsOf(path: `/api/${string}`): Promise<string[]> {
  const walked = await walk(company.api, path, { limit: 1 });
  expect(await walk(company.api, path, { limit: 200 })).toEqual(walked);
  return walked.map(({ id }) => id);
}

describe('invoices', () => {
  test('by customer', async () => {
    expect(await idsOf(`/api/invoices?customerId=${customers.eur}`)).toEqual([invoices.eur]);
    expect(await idsOf(`/api/invoices?customerId=${customers.usd.toUpperCase()}`)).toHaveLength(3);
    expect(await idsOf(`/api/invoices?customerId=${invoices.eur}`)).toEqual([]);
  });

  test('by status', async () => {
    expect(await idsOf('/api/invoices?status=draft')).toEqual([invoices.draft]);
    expect(await idsOf('/api/invoices?status=paid')).toEqual([invoices.paid]);
    expect(await idsOf('/api/invoices?status=partially_paid')).toEqual([invoices.eur, invoices.january]);
    expect(await idsOf('/api/invoices?status=void')).toEqual([]);
  });

  test('by currency and by days of issue, both ends included', async () => {
    expect(await idsOf('/api/invoices?currency=EUR')).toEqual([invoices.eur]);
    expect(await idsOf('/api/invoices?from=2026-01-31&to=2026-02-01')).toEqual([invoices.paid, invoices.january]);
    expect(await idsOf('/api/invoices?from=2026-02-01&currency=USD')).toEqual([invoices.paid]);
  });

  test('one is read with its lines and payments, as it stands', async () => {
    const invoice = (await company.api.get(`/api/invoices/${invoices.january}`)).json;
    expect(invoice).toMatchObject({ status: 'partially_paid', total: 500, amountPaid: 200, amountDue: 300 });
    expect(invoice.lines).toMatchObject([{ description: 'Work', quantity: '1', unitPrice: 500, net: 500, tax: 0 }]);
    expect(invoice.payments).toEqual([(await company.api.get(`/api/payments/${payments.march}`)).json]);
  });
});

describe('payments', () => {
  test('by customer, currency and days of receipt', async () => {
    expect(await idsOf('/api/payments')).toEqual([payments.eur, payments.march, payments.february]);
    expect(await idsOf(`/api/payments?customerId=${customers.eur}`)).toEqual([payments.eur]);
    expect(await idsOf('/api/payments?currency=USD')).toEqual([payments.march, payments.february]);
    expect(await idsOf('/api/payments?from=2026-03-01&to=2026-03-01')).toEqual([payments.march]);
  });
});

describe('the ledger', () => {
  test('entries by date, account and operation', async () => {
    const dates = async (query: string) =>
      (await walk(company.api, `/api/ledger/entries?${query}`)).map(({ date }) => date);
    expect(await dates('accountCode=1000')).toEqual(['2026-03-02', '2026-03-01', '2026-02-15']);
    expect(await dates('accountCode=4000')).toEqual(['2026-02-10', '2026-02-01', '2026-01-31']);
    expect(await dates('accountCode=9999')).toEqual([]);
    expect(await dates('operation=finalizeInvoice&from=2026-02-01')).toEqual(['2026-02-10', '2026-02-01']);
    expect(await dates('from=2026-02-15&to=2026-03-01')).toEqual(['2026-03-01', '2026-02-15']);
  });

  test('an entry says where it comes from, and balances', async () => {
    const { journalEntryId } = (await company.api.get(`/api/payments/${payments.march}`)).json;
    const entry = (await company.api.get(`/api/ledger/entries/${journalEntryId}`)).json;
    expect(entry).toMatchObject({
      id: journalEntryId,
      date: '2026-03-01',
      source: { operation: 'createPayment', writeId: payments.march },
      reverses: null,
    });
    expect(entry.lines).toMatchObject([
      { accountCode: '1000', amount: 200, currency: 'USD', memo: null },
      { accountCode: '1100', amount: -200, currency: 'USD', memo: null },
    ]);
  });

  test('each line of an account carries the balance of its currency up to it', async () => {
    const told = (await walk(company.api, '/api/ledger/accounts/1100/lines', { limit: 3 })).map(
      ({ date, amount, currency, balance }) => ({ date, amount, currency, balance }),
    );
    expect(told).toEqual([
      { date: '2026-03-02', amount: -100, currency: 'EUR', balance: 600 },
      { date: '2026-03-01', amount: -200, currency: 'USD', balance: 300 },
      { date: '2026-02-15', amount: -300, currency: 'USD', balance: 500 },
      { date: '2026-02-10', amount: 700, currency: 'EUR', balance: 700 },
      { date: '2026-02-01', amount: 300, currency: 'USD', balance: 800 },
      { date: '2026-01-31', amount: 500, currency: 'USD', balance: 500 },
    ]);
    const period = (await company.api.get('/api/ledger/accounts/1100/lines?from=2026-03-01')).json.items;
    expect(period.map(({ balance }: { balance: number }) => balance)).toEqual([600, 300]);
  });

  test('the trial balance is of the day that is asked for, and its sides are equal', async () => {
    expect((await company.api.get('/api/ledger/trial-balance?asOf=2026-03-02')).json).toEqual({
      asOf: '2026-03-02',
      items: [
        { accountCode: '1000', name: 'Bank', currency: 'EUR', debit: 100, credit: 0 },
        { accountCode: '1000', name: 'Bank', currency: 'USD', debit: 500, credit: 0 },
        { accountCode: '1100', name: 'Accounts receivable', currency: 'EUR', debit: 600, credit: 0 },
        { accountCode: '1100', name: 'Accounts receivable', currency: 'USD', debit: 300, credit: 0 },
        { accountCode: '4000', name: 'Sales revenue', currency: 'EUR', debit: 0, credit: 700 },
        { accountCode: '4000', name: 'Sales revenue', currency: 'USD', debit: 0, credit: 800 },
      ],
      totals: [
        { currency: 'EUR', debit: 700, credit: 700 },
        { currency: 'USD', debit: 800, credit: 800 },
      ],
    });
    const { items, totals } = (await company.api.get('/api/ledger/trial-balance?asOf=2026-02-09')).json;
    expect(totals).toEqual([{ currency: 'USD', debit: 800, credit: 800 }]);
    expect(items).toHaveLength(2);
  });

  test('without a day, the trial balance is of today in the time zone of the company', async () => {
    const own = await system.company();
    const lines = [
      { accountCode: '1000', amount: 5 },
      { accountCode: '3000', amount: -5 },
    ];
    const day = async (ahead: number): Promise<string> =>
      (await system.owner.query('SELECT (company_today($1) + $2::integer)::text AS day', [own.id, ahead])).rows[0].day;
    // The two zones are 25 hours apart: the one's today is never the other's.
    await system.owner.query("UPDATE companies SET time_zone = 'Pacific/Kiritimati' WHERE id = $1", [own.id]);
    const east = await day(0);
    for (const date of [east, await day(2)]) {
      await own.api.created('/api/ledger/entries', { date, description: 'By hand', currency: 'USD', lines });
    }
    const balance = async () => (await own.api.get('/api/ledger/trial-balance')).json;
    expect((await balance()).totals).toEqual([{ currency: 'USD', debit: 5, credit: 5 }]);
    await system.owner.query("UPDATE companies SET time_zone = 'Pacific/Pago_Pago' WHERE id = $1", [own.id]);
    const [before, answer, after] = [await day(0), await balance(), await day(0)];
    expect([before, after]).toContain(answer.asOf);
    expect(answer.asOf < east).toBe(true);
    expect(answer).toMatchObject({ items: [], totals: [] });
  });

  test('sums of the largest amounts are exact', async () => {
    const other = await system.company();
    const customerId = await other.customer();
    for (let count = 0; count < 3; count += 1) await other.invoice({ customerId, total: 10_000_000_000_000 });
    await other.invoice({ customerId, total: 1 });
    const { totals } = (await other.api.get('/api/ledger/trial-balance')).json;
    expect(totals).toEqual([{ currency: 'USD', debit: 30_000_000_000_001, credit: 30_000_000_000_001 }]);
  });
});

describe('writes', () => {
  test('by operation and state', async () => {
    const rejected = await company.api.post('/api/payments', {
      invoiceId: invoices.draft,
      amount: 1,
      currency: 'USD',
      method: 'card',
    });
    expect(rejected.status).toBe(409);
    await company.api.send('POST', '/api/writes/never/cancel');
    const keys = async (query: string) => (await walk(company.api, `/api/writes?${query}`)).map(({ key }) => key);
    expect(await keys('state=rejected')).toEqual([rejected.headers.get('idempotency-key')]);
    expect(await keys('state=cancelled')).toEqual(['never']);
    expect(await keys('operation=createPayment')).toHaveLength(4);
    expect(await keys('operation=createPayment&state=succeeded')).toHaveLength(3);
    expect(await keys('operation=doSomethingElse')).toEqual([]);
  });

  test('by time of completion, in days and to the millisecond', async () => {
    const [newest, second] = (await company.api.get('/api/writes?limit=2')).json.items;
    const count = async (query: string) => (await company.api.get(`/api/writes?limit=200&${query}`)).json.items.length;
    const all = await count('');
    const day = newest.completedAt.slice(0, 10);
    expect(await count(`to=${day}`)).toBe(all);
    expect(await count('from=2999-01-01')).toBe(0);
    expect(await count('to=1999-12-31')).toBe(0);
    expect(await count(`from=${newest.completedAt}&to=${newest.completedAt}`)).toBeGreaterThanOrEqual(1);
    expect(await count(`to=${second.completedAt}`)).toBeLessThan(all);
  });

  test('by the resource that they made or changed, whichever the case of its ID', async () => {
    const operations = async (query: string) =>
      (await walk(company.api, `/api/writes?${query}`)).map(({ operation }) => String(operation)).toSorted();
    expect(await operations(`resource=${payments.march.toUpperCase()}`)).toEqual(['createPayment']);
    expect(await operations(`resource=${invoices.january}`)).toEqual(['createInvoice', 'finalizeInvoice']);
    expect(await operations(`resource=${invoices.january}&operation=finalizeInvoice`)).toEqual(['finalizeInvoice']);
    expect(await operations('resource=nothing')).toEqual([]);
  });

  test('by the ID of any request with their key', async () => {
    const body = { invoiceId: invoices.eur, amount: 50, currency: 'EUR', method: 'card', receivedOn: '2026-03-09' };
    const send = (requestId: string, changed: object = {}) =>
      company.api.post(
        '/api/payments',
        { ...body, ...changed },
        { key: 'sought', headers: { 'x-request-id': requestId } },
      );
    await send('first-request');
    await send('second-request');
    await send('third-request', { amount: 51 });
    const keys = async (requestId: string) =>
      (await walk(company.api, `/api/writes?requestId=${requestId}`)).map(({ key }) => key);
    for (const requestId of ['first-request', 'second-request', 'third-request']) {
      expect(await keys(requestId)).toEqual(['sought']);
    }
    expect(await keys('first-request'.toUpperCase())).toEqual([]);
    const other = await system.company();
    expect(await walk(other.api, '/api/writes?requestId=first-request')).toEqual([]);
    expect(await walk(company.as('inventory_manager'), '/api/writes?requestId=first-request')).toEqual([]);
  });

  test('by the ID of a request that all share: all of them, or none', async () => {
    const other = await system.company();
    const shared = async (from: number, to: number) =>
      system.owner.query(
        `INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, idempotency_key, user_id,
           status, request_id, route_path, http_method)
         SELECT $1, 'createCustomer', 'financial', 'replayed', $2, 'replayed', 'shared', '/api/customers', 'POST'
         FROM generate_series($3::int, $4::int)`,
        [other.id, other.users.owner.id, from, to],
      );
    await other.api.post('/api/customers', { name: 'Old', currency: 'USD' }, { key: 'replayed' });
    await shared(1, 10_000);
    expect(await walk(other.api, '/api/writes?requestId=shared')).toMatchObject([{ key: 'replayed' }]);
    await shared(10_001, 10_001);
    expect(await other.api.get('/api/writes?requestId=shared')).toMatchObject({
      status: 422,
      json: { code: 'validation_failed', errors: [{ in: 'query', pointer: '/requestId' }] },
    });
    expect(await walk(company.api, '/api/writes?requestId=shared')).toEqual([]);
  });

  test('by the day of their entry and its amount', async () => {
    const resources = async (query: string) =>
      (await walk(company.api, `/api/writes?${query}`)).map(({ resource }) => resource.id);
    expect(await resources('postedOn=2026-02-15')).toEqual([payments.february]);
    expect(await resources('postedOn=2026-02-15&amount=300')).toEqual([payments.february]);
    expect(await resources('postedOn=2026-02-15&amount=301')).toEqual([]);
    expect(await resources('postedOn=2026-02-16&amount=300')).toEqual([]);
    expect((await company.api.get('/api/writes?amount=300')).json.errors).toMatchObject([{ pointer: '/amount' }]);
    // On pages of one, with the other filters, and for who may read none of them.
    expect(await idsOf('/api/writes?postedOn=2026-02-15&state=succeeded')).toHaveLength(1);
    expect(await resources('postedOn=2026-02-15&state=rejected')).toEqual([]);
    expect(await resources(`postedOn=2026-02-15&resource=${payments.february}`)).toEqual([payments.february]);
    expect(await walk(company.as('inventory_manager'), '/api/writes?postedOn=2026-02-15')).toEqual([]);
  });

  test('each with the amount and the number that people know it by', async () => {
    const body = { invoiceId: invoices.january, amount: 99_999, currency: 'USD', method: 'card' };
    expect((await company.api.post('/api/payments', body, { key: 'too-much' })).status).toBe(422);
    const items = await walk(company.api, '/api/writes', { limit: 200 });
    const documentsOf = (id: string) =>
      items.filter(({ resource }) => resource?.id === id).map(({ operation, document }) => [operation, document]);
    expect(documentsOf(payments.february)).toEqual([
      ['createPayment', { number: 'RCT-000001', amount: 300, currency: 'USD' }],
    ]);
    expect(documentsOf(invoices.january)).toEqual([
      ['finalizeInvoice', { number: 'INV-000001', amount: 500, currency: 'USD' }],
      ['createInvoice', { number: null, amount: 500, currency: 'USD' }],
    ]);
    expect(documentsOf(customers.usd)).toEqual([['createCustomer', null]]);
    const rejected = { number: null, amount: 99_999, currency: 'USD' };
    expect(items.find(({ key }) => key === 'too-much')).toMatchObject({ state: 'rejected', document: rejected });
    for (const { key, document } of items.slice(0, 20)) {
      const { json } = await company.api.get(`/api/writes/${encodeURIComponent(key)}`);
      expect([key, json.document]).toEqual([key, document]);
    }
  });

  test('without what somebody is paid, and without the amount for who may not see what was answered', async () => {
    const other = await system.company();
    await executedPayRun(other);
    const payroll = await walk(other.api, '/api/writes', { limit: 200 });
    expect(payroll.map(({ operation }) => operation)).toEqual(['executePayroll', 'createPayRun', 'createEmployee']);
    expect(payroll.map(({ document }) => document)).toEqual([null, null, null]);
    const invoiceId = await other.invoice();
    const body = { invoiceId, amount: 10, currency: 'USD', method: 'card' };
    await other.as('accountant').post('/api/payments', body, { key: 'mine' });
    const mine = async () => (await other.as('accountant').get('/api/writes?operation=createPayment')).json.items;
    expect(await mine()).toMatchObject([{ key: 'mine', document: { amount: 10 } }]);
    await system.owner.query(
      "UPDATE memberships SET roles = '{inventory_manager}' WHERE company_id = $1 AND user_id = $2",
      [...[other.id, other.users.accountant.id]],
    );
    expect(await mine()).toMatchObject([{ key: 'mine', document: null }]);
    expect((await other.as('accountant').get('/api/writes/mine')).json).toMatchObject({
      document: null,
      response: null,
    });
  });
});
