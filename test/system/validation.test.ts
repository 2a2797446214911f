import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { countEverything, paymentBody } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';

describe('a body that does not fit the schema', () => {
  let system: System;
  let company: Company;
  let invoiceId: string;
  let customerId: string;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
    invoiceId = await company.invoice();
    customerId = await company.customer();
  });
  afterAll(() => system.stop());

  /** Sends JSON whose member is written exactly as given, and expects it to be named, and nothing to be stored. */
  async function expectRefused(path: string, body: object, member: string, written: string, pointer = `/${member}`) {
    const before = await countEverything(system.owner, company.id);
    const text = JSON.stringify({ ...body, [member]: '\u0001here' }).replace('"\\u0001here"', written);
    const answer = await company.api.post(path, text, { key: 'refused' });
    expect([written.slice(0, 80), answer.status, answer.json.code]).toEqual([
      written.slice(0, 80),
      422,
      'validation_failed',
    ]);
    const pointers = answer.json.errors.map((error: { in: string; pointer: string }) => `${error.in} ${error.pointer}`);
    expect(pointers).toContain(`body ${pointer}`);
    expect(answer.text).not.toMatch(/zod|invalid_type|\bat \w+ \(/i);
    expect(await countEverything(system.owner, company.id)).toEqual(before);
  }

  const invoice = (line: object = {}) => ({
    customerId,
    currency: 'USD',
    issueDate: '2026-01-15',
    dueDate: '2026-12-31',
    lines: [{ description: 'Work', quantity: '1', unitPrice: 100, ...line }],
  });

  const notAmounts = [
    '-1',
    '0',
    '-0',
    '0.5',
    '100.01',
    '1e400',
    '-1e400',
    '1e-400',
    '1e300',
    '10000000000001',
    '9007199254740992',
    '9007199254740993',
    '123456789012345678901234567890',
    '"100"',
    'null',
    'true',
    '[100]',
    '{"amount":100}',
    '""',
  ];
  test.each(notAmounts)('an amount of %s is refused', async (written) => {
    await expectRefused('/api/payments', paymentBody(invoiceId), 'amount', written);
  });

  test.each(['-10000000000001', '-0', '0.5', '1e400', '10000000000001', '"1"', 'null'])(
    'a unit price of %s is refused',
    async (written) => {
      const text = JSON.stringify(invoice()).replace('"unitPrice":100', `"unitPrice":${written}`);
      const answer = await company.api.post('/api/invoices', text);
      expect(answer.json.errors).toMatchObject([{ in: 'body', pointer: '/lines/0/unitPrice' }]);
    },
  );

  test('an amount of exactly 1 and of exactly 10^13 is exact to the minor unit', async () => {
    for (const total of [1, 10_000_000_000_000, 9_999_999_999_999]) {
      const id = await company.invoice({ total });
      const payment = await company.api.post('/api/payments', paymentBody(id, total));
      expect([payment.status, payment.json.amount]).toEqual([201, total]);
      const { rows } = await system.owner.query(
        `SELECT max(l.amount_minor)::text AS debit, min(l.amount_minor)::text AS credit FROM journal_lines l
         JOIN payments p ON p.company_id = l.company_id AND p.journal_entry_id = l.entry_id WHERE p.id = $1`,
        [payment.json.id],
      );
      expect(rows).toEqual([{ debit: String(total), credit: String(-total) }]);
    }
  });

  const notCurrencies = [
    '"usd"',
    '"US"',
    '"USDX"',
    '"XXX"',
    '"ZZZ"',
    '"DEM"',
    '"$"',
    '""',
    'null',
    '840',
    '"US\\u0000"',
  ];
  test.each(notCurrencies)('a currency of %s is refused', async (written) => {
    await expectRefused('/api/payments', paymentBody(invoiceId), 'currency', written);
  });

  const notDates = [
    '"2026-02-30"',
    '"2025-02-29"',
    '"2026-13-01"',
    '"2026-1-1"',
    '"01.02.2026"',
    '"2026-02-01T00:00:00Z"',
    '"1899-12-31"',
    '"3000-01-01"',
    '"+002026-01-01"',
    '"0000-00-00"',
    '"today"',
    '20260201',
    'null',
    '""',
    '"infinity"',
  ];
  test.each(notDates)('a date of %s is refused', async (written) => {
    await expectRefused('/api/payments', paymentBody(invoiceId), 'receivedOn', written);
  });

  const notQuantities = [
    '0',
    '-1',
    '1.00001',
    '1e3',
    '01',
    '.5',
    '1.',
    '1000000000.0001',
    '10000000000',
    '1,5',
    'NaN',
    '',
    ' 1',
    '０',
  ];
  test.each(notQuantities)('a quantity of %j is refused', async (quantity) => {
    const answer = await company.api.post('/api/invoices', invoice({ quantity }));
    expect([answer.status, answer.json.code]).toEqual([422, 'validation_failed']);
    expect(answer.json.errors[0]).toMatchObject({ in: 'body', pointer: '/lines/0/quantity' });
  });

  const notTexts: Readonly<Record<string, string>> = {
    'a NUL': '"a\\u0000b"',
    'a high surrogate alone': '"a\\ud83d"',
    'a low surrogate alone': '"\\ude00a"',
    nothing: '""',
    'nothing but white space': '" \\t\\n\\u3000 "',
    'too many characters': JSON.stringify('x'.repeat(201)),
    'a number': '1',
    null: 'null',
    'an array': '["a"]',
  };
  test.each(Object.entries(notTexts))('a text of %s is refused', async (_name, written) => {
    await expectRefused('/api/customers', {}, 'name', written);
    await expectRefused('/api/payments', paymentBody(invoiceId), 'reference', written);
  });

  test('a text may hold whatever people write, to its limit, and comes back the same', async () => {
    for (const name of [
      '\u{1f600}\u00e9\u4e2d\u202e',
      'a\tb\nc',
      "Robert'); DROP TABLE users;--",
      '<b>&amp;"',
      '  x ',
      'x'.repeat(200),
    ]) {
      expect((await company.api.created('/api/customers', { name })).name).toBe(name);
    }
  });

  test('an e-mail address is one, and short enough', async () => {
    for (const written of [
      '"a"',
      '"a@b"',
      '"a b@c.de"',
      '"a@b.c\\u0000"',
      '"a@b.cd\\r\\nBcc: x@y.zz"',
      JSON.stringify(`${'a'.repeat(200)}@b.cd`),
    ]) {
      await expectRefused('/api/customers', { name: 'Mail' }, 'email', written);
    }
  });

  test('metadata has at most 20 keys, each with a text', async () => {
    const keys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v']));
    const customer = { name: 'Notes' };
    expect((await company.api.post('/api/customers', { ...customer, metadata: keys(20) })).status).toBe(201);
    await expectRefused('/api/customers', customer, 'metadata', JSON.stringify(keys(21)));
    await expectRefused('/api/customers', customer, 'metadata', '{"__proto__":"v"}');
    await expectRefused('/api/customers', customer, 'metadata', '[]');
    await expectRefused('/api/customers', customer, 'metadata', '{"k":1}', '/metadata/k');
    await expectRefused('/api/customers', customer, 'metadata', '{"a/b~c":""}', '/metadata/a~1b~0c');
    await expectRefused(
      '/api/customers',
      customer,
      'metadata',
      `{"${'k'.repeat(41)}":"v"}`,
      `/metadata/${'k'.repeat(41)}`,
    );
    await expectRefused('/api/customers', customer, 'metadata', `{"k":"${'v'.repeat(501)}"}`, '/metadata/k');
  });

  test('a member that no one knows is refused, at any depth, whatever its name', async () => {
    await expectRefused('/api/customers', { name: 'Extra' }, 'nickname', '"x"');
    await expectRefused('/api/customers', { name: 'Extra' }, 'companyId', `"${company.id}"`);
    await expectRefused('/api/customers', { name: 'Extra' }, 'constructor', '{}');
    await expectRefused('/api/customers', { name: 'Extra' }, 'a/b~', '1', '/a~1b~0');
    const proto = await company.api.post('/api/customers', '{"name":"Extra","__proto__":{"admin":true}}');
    expect(proto.json.errors).toMatchObject([{ in: 'body', pointer: '/__proto__' }]);
    const deep = await company.api.post('/api/invoices', invoice({ discount: 5 }));
    expect(deep.json.errors).toMatchObject([{ in: 'body', pointer: '/lines/0/discount' }]);
  });

  test('every fault is named at once', async () => {
    const answer = await company.api.post('/api/invoices', {
      customerId: 'x',
      currency: 'usd',
      dueDate: 'soon',
      lines: [{ description: '', quantity: 1, unitPrice: -0.5, taxRateBasisPoints: 10_001 }],
      extra: true,
    });
    const pointers = answer.json.errors.map(({ pointer }: { pointer: string }) => pointer);
    expect(new Set(pointers)).toEqual(
      new Set([
        '/customerId',
        '/currency',
        '/dueDate',
        '/lines/0/description',
        '/lines/0/quantity',
        '/lines/0/unitPrice',
        '/lines/0/taxRateBasisPoints',
        '/extra',
      ]),
    );
  });

  test('an invoice has 1 to 200 lines, and is not due before it is issued', async () => {
    const [line] = invoice().lines;
    for (const lines of [[], Array.from({ length: 201 }, () => line)]) {
      const answer = await company.api.post('/api/invoices', { ...invoice(), lines });
      expect(answer.json.errors).toMatchObject([{ in: 'body', pointer: '/lines' }]);
    }
    const most = await company.api.post('/api/invoices', {
      ...invoice(),
      lines: Array.from({ length: 200 }, () => line),
    });
    expect(most.status).toBe(201);
    const due = await company.api.post('/api/invoices', { ...invoice(), dueDate: '2026-01-14' });
    expect(due.json.errors).toMatchObject([{ in: 'body', pointer: '/dueDate' }]);
  });

  test('a key that met a refusal takes the body once it is mended', async () => {
    const refused = await company.api.post('/api/payments', paymentBody(invoiceId, 0), { key: 'mended' });
    expect(refused.status).toBe(422);
    const mended = await company.api.post('/api/payments', paymentBody(invoiceId, 1), { key: 'mended' });
    expect([mended.status, mended.replayed]).toEqual([201, false]);
  });

  test('a body of a megabyte of faults is answered with a hundred of them', async () => {
    const many = Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`k${index}`, 1]));
    for (const body of [
      { name: 'Many', metadata: many },
      { name: 'Many', ...many },
    ]) {
      const answer = await company.api.post('/api/customers', body);
      expect(answer.status).toBe(422);
      expect(answer.json.errors.length).toBeLessThanOrEqual(100);
    }
  });
});
