import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';
import { walk } from '../support/walk.ts';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());

describe('a walk through the pages of a list', () => {
  let company: Company;
  let invoiceId: string;
  const pay = () => company.api.created('/api/payments', paymentBody(invoiceId, 1));

  beforeAll(async () => {
    company = await system.company();
    for (let count = 0; count < 3; count += 1) invoiceId = await company.invoice();
    for (let count = 0; count < 5; count += 1) await pay();
  });

  /** By what an item of each list is known. */
  const LISTS = {
    '/api/customers': 'id',
    '/api/invoices': 'id',
    '/api/payments': 'id',
    '/api/users': 'userId',
    '/api/ledger/accounts': 'code',
    '/api/ledger/accounts/1100/lines': 'id',
    '/api/ledger/entries': 'id',
    '/api/writes': 'key',
  } as const;

  test.each(Object.entries(LISTS))(
    '%s: all is there and nothing comes twice while rows are added',
    async (path, name) => {
      const whole = await company.api.get(`${path}?limit=200`);
      expect(whole.json.nextCursor).toBeNull();
      const before: unknown[] = whole.json.items.map((item: Record<string, unknown>) => item[name]);
      expect(before.length).toBeGreaterThan(2);

      let added = 0;
      const walked = await walk(company.api, path as '/api/customers', {
        async betweenPages() {
          if (added === 3) return;
          added += 1;
          invoiceId = await company.invoice();
          await pay();
        },
      });
      const names = walked.map((item) => item[name]);
      expect(new Set(names).size).toBe(names.length);
      // The books are kept by date: what is posted with an earlier one stands further back, where the walk still comes by.
      const byDate = path.startsWith('/api/ledger');
      expect(byDate ? names.filter((item) => before.includes(item)) : names).toEqual(before);
    },
  );

  test('rows of one moment come one by one, in a fixed order', async () => {
    const other = await system.company();
    // One transaction, so one created_at for all; and one a microsecond later, which milliseconds cannot tell apart.
    await system.owner.query(
      `INSERT INTO customers (company_id, id, name, currency, created_at)
       SELECT $1, gen_random_uuid(), CASE n WHEN 4 THEN 'Newest' ELSE 'Customer' END, 'USD',
         CASE n WHEN 4 THEN timestamptz '2026-03-01T00:00:00.000002Z' ELSE '2026-03-01T00:00:00.000001Z' END
       FROM generate_series(1, 8) AS n`,
      [other.id],
    );
    const whole = (await other.api.get('/api/customers')).json.items;
    expect(whole[0].name).toBe('Newest');
    for (const limit of [1, 2, 3, 7, 8]) {
      expect(await walk(other.api, '/api/customers', { limit })).toEqual(whole);
    }
  });

  test('the newest comes first', async () => {
    const payment = await pay();
    expect((await company.api.get('/api/payments?limit=1')).json.items).toMatchObject([{ id: payment.id }]);
    const [write] = (await company.api.get('/api/writes?limit=1')).json.items;
    expect(write).toMatchObject({ writeId: payment.id, operation: 'createPayment', state: 'succeeded', status: 201 });
    const dates = (await walk(company.api, '/api/ledger/entries', { limit: 200 })).map(({ date }) => date);
    expect(dates).toEqual(dates.toSorted((a, b) => b.localeCompare(a)));
  });

  test('50 items a page unless the client says otherwise', async () => {
    const other = await system.company();
    await system.owner.query(
      `INSERT INTO customers (company_id, id, name, currency)
       SELECT $1, gen_random_uuid(), 'Customer ' || n, 'USD' FROM generate_series(1, 51) AS n`,
      [other.id],
    );
    expect((await other.api.get('/api/customers')).json.items).toHaveLength(50);
    expect((await other.api.get('/api/customers?limit=200')).json.items).toHaveLength(51);
  });
});

describe('a cursor', () => {
  let company: Company;
  let cursor: string;
  beforeAll(async () => {
    company = await system.company();
    for (let count = 0; count < 3; count += 1) await company.customer();
    cursor = (await company.api.get('/api/customers?limit=1')).json.nextCursor;
  });

  const refused = { status: 422, json: { code: 'validation_failed', errors: [{ in: 'query', pointer: '/cursor' }] } };

  test('that was tampered with is refused, whichever character it is', async () => {
    for (let index = 0; index < cursor.length; index += 1) {
      const other = cursor[index] === 'A' ? 'B' : 'A';
      const tampered = cursor.slice(0, index) + other + cursor.slice(index + 1);
      expect(await company.api.get(`/api/customers?cursor=${tampered}`)).toMatchObject(refused);
    }
  });

  test.each(['', 'x', 'null', '%00', 'e30', 'W10', 'WyJhIl0', 'x'.repeat(2_000)])('of %s is refused', async (text) => {
    expect(await company.api.get(`/api/customers?cursor=${text}`)).toMatchObject(refused);
  });

  test('that was cut, lengthened or padded is refused', async () => {
    for (const other of [cursor.slice(0, -1), `${cursor}A`, `${cursor}=`, `${cursor}.`]) {
      expect(await company.api.get(`/api/customers?cursor=${encodeURIComponent(other)}`)).toMatchObject(refused);
    }
  });

  test('is of one list, one set of filters and one company', async () => {
    const other = await system.company();
    const invoices = (path: string) => company.api.get(`/api/invoices?cursor=${cursor}${path}`);
    expect(await invoices('')).toMatchObject(refused);
    expect(await other.api.get(`/api/customers?cursor=${cursor}`)).toMatchObject(refused);

    for (let count = 0; count < 2; count += 1) await company.invoice();
    const ofFinalized = (await company.api.get('/api/invoices?status=finalized&limit=1')).json.nextCursor;
    expect((await company.api.get(`/api/invoices?status=finalized&cursor=${ofFinalized}`)).status).toBe(200);
    expect(await company.api.get(`/api/invoices?status=draft&cursor=${ofFinalized}`)).toMatchObject(refused);
    expect(await company.api.get(`/api/invoices?cursor=${ofFinalized}`)).toMatchObject(refused);
  });

  test('holds with another limit', async () => {
    const rest = (await company.api.get(`/api/customers?limit=200&cursor=${cursor}`)).json.items;
    // Customers that came meanwhile stand before the cursor's page.
    expect(rest).toEqual((await company.api.get('/api/customers')).json.items.slice(-2));
  });
});

describe('a query', () => {
  test.each([
    ['/api/customers?limit=0', '/limit'],
    ['/api/customers?limit=201', '/limit'],
    ['/api/customers?limit=-1', '/limit'],
    ['/api/customers?limit=1.5', '/limit'],
    ['/api/customers?limit=', '/limit'],
    ['/api/customers?limit=1e1', '/limit'],
    ['/api/customers?limit=1&limit=2', '/limit'],
    ['/api/customers?colour=red', '/colour'],
    ['/api/customers?__proto__=1', '/__proto__'],
    ['/api/invoices?status=open', '/status'],
    ['/api/invoices?currency=usd', '/currency'],
    ['/api/invoices?customerId=1', '/customerId'],
    ['/api/invoices?from=2026-02-30', '/from'],
    ['/api/payments?to=yesterday', '/to'],
    ['/api/payments?status=paid', '/status'],
    ['/api/ledger/entries?accountCode=%00', '/accountCode'],
    ['/api/ledger/entries?operation=%27', '/operation'],
    ['/api/ledger/trial-balance?asOf=2026-13-01', '/asOf'],
    ['/api/writes?state=running', '/state'],
    ['/api/writes?resource=%00', '/resource'],
    ['/api/writes?resource=%F0%9F%92%B8', '/resource'],
    ['/api/writes?from=0000-01-01T00:00:00Z', '/from'],
    ['/api/writes?to=2026-01-01T25:00:00Z', '/to'],
    ['/api/me?limit=1', '/limit'],
  ])('%s is refused, naming the parameter', async (path, pointer) => {
    const company = await system.company();
    const answer = await company.api.get(path);
    expect(answer).toMatchObject({ status: 422, json: { code: 'validation_failed' } });
    expect(answer.json.errors).toContainEqual({ in: 'query', pointer, message: expect.any(String) });
  });
});
