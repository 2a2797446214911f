import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readEntry } from '../support/books.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';

const MAX = 10_000_000_000_000;

describe('amounts are 1 to 10^13 minor units, exactly', () => {
  let system: System;
  let company: Company;
  let customerId: string;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
    customerId = await company.customer();
  });
  afterAll(() => system.stop());

  const writes = async () =>
    (await system.owner.query('SELECT count(*)::int AS n FROM idempotent_writes WHERE company_id = $1', [company.id]))
      .rows[0].n;
  const invoice = (...lines: object[]) => ({
    customerId,
    currency: 'USD',
    dueDate: '2026-12-31',
    issueDate: '2026-01-15',
    lines: lines.map((line) => ({ description: 'Work', quantity: '1', ...line })),
  });

  test.each([
    ['negative', '-1'],
    ['zero', '0'],
    ['minus zero', '-0'],
    ['a fraction', '1.5'],
    ['10^13 + 1', '10000000000001'],
    ['2^53', '9007199254740992'],
    ['beyond every float', '1e400'],
    ['a string', '"100"'],
    ['null', 'null'],
  ])('an amount that is %s is refused, and nothing is stored', async (_what, amount) => {
    const body = paymentBody(await company.invoice());
    const before = await writes();
    const text = JSON.stringify(body).replace('"amount":100', `"amount":${amount}`);
    const answer = await company.api.post('/api/payments', text);
    expect([answer.status, answer.json.code]).toEqual([422, 'validation_failed']);
    expect(pointers(answer)).toEqual(['/amount']);
    expect(await writes()).toBe(before);
  });

  test('an amount written as 1.0 or 1e2 is the integer that it is', async () => {
    const body = paymentBody(await company.invoice());
    const spelt = (amount: string) => JSON.stringify(body).replace('"amount":100', `"amount":${amount}`);
    const first = await company.api.created('/api/payments', spelt('1e2'), { key: 'spelt' });
    expect(first.amount).toBe(100);
    const replay = await company.api.post('/api/payments', spelt('100.0'), { key: 'spelt' });
    expect([replay.status, replay.replayed]).toEqual([201, true]);
  });

  test.each(['XXX', 'usd', 'US', '', 'ZZZ', 'XAU'])('the currency "%s" is unknown', async (currency) => {
    const answer = await company.api.post('/api/payments', { ...paymentBody(await company.invoice()), currency });
    expect([answer.status, answer.json.code]).toEqual([422, 'validation_failed']);
    expect(pointers(answer)).toEqual(['/currency']);
    const customer = await company.api.post('/api/customers', { name: 'Customer', currency });
    expect([customer.status, customer.json.code]).toEqual([422, 'validation_failed']);
  });

  test('the smallest amount and the largest go through invoice, payment and books to the unit', async () => {
    for (const total of [1, MAX]) {
      const id = await company.invoice({ total });
      const paid = await company.api.created('/api/payments', paymentBody(id, total));
      expect(paid.amount).toBe(total);
      expect((await readEntry(system.owner, company.id, paid.journalEntryId)).lines).toEqual([
        ['1000', total, 'USD'],
        ['1100', -total, 'USD'],
      ]);
      const { rows } = await system.owner.query('SELECT status, paid_minor, due_minor FROM invoices WHERE id = $1', [
        id,
      ]);
      expect(rows[0]).toEqual({ status: 'paid', paid_minor: String(total), due_minor: '0' });
    }
  });

  test('one unit less than the largest invoice leaves exactly one due', async () => {
    const id = await company.invoice({ total: MAX });
    await company.api.created('/api/payments', paymentBody(id, MAX - 1));
    const over = await company.api.post('/api/payments', paymentBody(id, 2));
    expect([over.status, over.json.code]).toEqual([422, 'payment_exceeds_outstanding']);
    await company.api.created('/api/payments', paymentBody(id, 1));
  });

  test('the largest quantity times a price that reaches 10^13 is invoiced exactly', async () => {
    const answer = await company.api.created('/api/invoices', invoice({ quantity: '1000000000', unitPrice: 10_000 }));
    expect(answer.total).toBe(MAX);
    const parts = await company.api.created(
      '/api/invoices',
      invoice({ unitPrice: MAX - 2 }, { quantity: '0.0001', unitPrice: 20_000 }),
    );
    expect(parts).toMatchObject({ total: MAX, lines: [{ net: MAX - 2 }, { net: 2 }] });
  });

  test.each([
    ['by its price times its quantity', [{ quantity: '1000000000', unitPrice: 10_001 }]],
    ['by far', [{ quantity: '1000000000', unitPrice: MAX, taxRateBasisPoints: 10_000 }]],
    ['by its tax', [{ unitPrice: MAX, taxRateBasisPoints: 1 }]],
    ['by the sum of its lines', [{ unitPrice: MAX }, { unitPrice: 1 }]],
    ['at the lower end: nothing to pay', [{ unitPrice: 0 }]],
    ['at the lower end: rounded to nothing', [{ quantity: '0.0001', unitPrice: 4_999 }]],
  ])('an invoice out of range %s is rejected', async (_how, lines) => {
    const answer = await company.api.post('/api/invoices', invoice(...lines));
    expect([answer.status, answer.json.code]).toEqual([422, 'amount_out_of_range']);
    expect(answer.json.errors).toEqual([{ in: 'body', pointer: '/lines' }]);
  });

  test.each([
    '0',
    '0.0000',
    '-1',
    '+1',
    '1.00000',
    '1000000000.0001',
    '1000000001',
    '1e3',
    '01',
    '.5',
    '1.',
    ' 1',
    '١',
  ])('the quantity "%s" is none', async (quantity) => {
    const answer = await company.api.post('/api/invoices', invoice({ quantity, unitPrice: 100 }));
    expect([answer.status, answer.json.code]).toEqual([422, 'validation_failed']);
    expect(pointers(answer)).toEqual(['/lines/0/quantity']);
  });

  test('an invoice has 1 to 200 lines', async () => {
    const lines = (count: number) => Array.from({ length: count }, () => ({ unitPrice: 1 }));
    expect((await company.api.post('/api/invoices', invoice())).json.code).toBe('validation_failed');
    expect((await company.api.post('/api/invoices', invoice(...lines(201)))).json.code).toBe('validation_failed');
    expect((await company.api.created('/api/invoices', invoice(...lines(200)))).total).toBe(200);
  });
});

/** Where the problems are; one place may have several. */
function pointers({ json }: Answer): string[] {
  return [...new Set<string>(json.errors.map((error: { pointer: string }) => error.pointer))];
}
