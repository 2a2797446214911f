import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';

describe('a key that is used for another request', () => {
  let system: System;
  let company: Company;
  let invoiceId: string;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
    invoiceId = await company.invoice();
  });
  afterAll(() => system.stop());

  const pay = (body: unknown, key: string) => company.api.post('/api/payments', body, { key });

  function expectReused(answer: Answer, differences: unknown): void {
    expect(answer.status).toBe(422);
    expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    expect(answer.json).toMatchObject({
      type: '/docs/errors#idempotency_key_reused',
      status: 422,
      code: 'idempotency_key_reused',
      retryable: false,
      nextAction: 'use_new_key',
      requestId: answer.headers.get('x-request-id'),
    });
    expect(answer.json.differences).toEqual(differences);
    expect(answer.replayed).toBe(false);
  }

  async function conflictsOf(key: string) {
    const { timeline } = (await company.api.get(`/api/writes/${key}`)).json;
    const conflicted = timeline.filter(({ kind }: { kind: string }) => kind === 'conflicted');
    return conflicted.map(({ differences }: { differences: unknown }) => differences);
  }

  test('is refused with what differs, and the original still replays', async () => {
    const body = paymentBody(invoiceId);
    const first = await pay(body, 'amount');
    expect(first.status).toBe(201);
    const other = await pay({ ...body, amount: 101 }, 'amount');
    expectReused(other, [{ in: 'body', pointer: '/amount' }]);
    expect(other.json.writeUrl).toBe('/api/writes/amount');
    expect(other.json.instance).toBe('/api/payments');

    const again = await pay(body, 'amount');
    expect([again.status, again.replayed, again.text]).toEqual([201, true, first.text]);
    expect(await countEffects(system.owner, { companyId: company.id, table: 'payments', key: 'amount' })).toEqual({
      writes: 1,
      rows: 1,
      entries: 1,
      newAudit: 1,
      replayedAudit: 1,
      failedAudit: 1,
      events: 1,
    });
    const { rows } = await system.owner.query(
      `SELECT error_code, operation_name, metadata FROM idempotent_write_audit_log WHERE company_id = $1 AND idempotency_key = 'amount' AND status = 'failed'`,
      [company.id],
    );
    const differences = [{ in: 'body', pointer: '/amount' }];
    expect(rows).toEqual([
      { error_code: 'idempotency_key_reused', operation_name: 'createPayment', metadata: { differences } },
    ]);
    expect(await conflictsOf('amount')).toEqual([differences]);
  });

  test('is told every member that differs: changed, added and left out', async () => {
    const body = { ...paymentBody(invoiceId), reference: 'A', metadata: { 'a/b': '1', '~c': '2' } };
    expect((await pay(body, 'members')).status).toBe(201);
    const { reference: _left, ...rest } = body;
    const changed = {
      ...rest,
      method: 'card',
      currency: 'EUR',
      bankAccountCode: '1001',
      metadata: { 'a/b': '2', d: '3' },
    };
    const answer = await pay(changed, 'members');
    const pointers = answer.json.differences.map(({ pointer }: { pointer: string }) => pointer);
    expect(pointers.toSorted()).toEqual([
      '/bankAccountCode',
      '/currency',
      '/metadata/a~1b',
      '/metadata/d',
      '/metadata/~0c',
      '/method',
      '/reference',
    ]);
    // Names in the notes are the client's words: what is kept, and told to others, names the notes alone.
    const [kept] = await conflictsOf('members');
    expect(kept.map(({ pointer }: { pointer: string }) => pointer).toSorted()).toEqual([
      ...['/bankAccountCode', '/currency', '/metadata', '/method', '/reference'],
    ]);
  });

  test('is refused when the order of an array differs', async () => {
    const customerId = await company.customer();
    const line = (unitPrice: number) => ({ description: 'Work', quantity: '1', unitPrice });
    const invoice = (lines: unknown[]) =>
      company.api.post(
        '/api/invoices',
        { customerId, currency: 'USD', dueDate: '2026-12-31', lines },
        { key: 'order' },
      );
    expect((await invoice([line(1), line(2)])).status).toBe(201);
    expectReused(await invoice([line(2), line(1)]), [
      { in: 'body', pointer: '/lines/0/unitPrice' },
      { in: 'body', pointer: '/lines/1/unitPrice' },
    ]);
    expectReused(await invoice([line(1)]), [{ in: 'body', pointer: '/lines/1' }]);
  });

  test('is refused on another path parameter with the same body', async () => {
    const [one, two] = [await company.draftInvoice(), await company.draftInvoice()];
    const finalize = (id: string) => company.api.post(`/api/invoices/${id}/finalize`, {}, { key: 'path' });
    expect((await finalize(one)).status).toBe(200);
    expectReused(await finalize(two), [{ in: 'path', pointer: '/invoiceId' }]);
    const { rows } = await system.owner.query('SELECT status FROM invoices WHERE id = $1', [two]);
    expect(rows).toEqual([{ status: 'draft' }]);
  });

  test('is refused on another route', async () => {
    const draft = await company.draftInvoice();
    expect((await company.api.post('/api/customers', { name: 'Route' }, { key: 'route' })).status).toBe(201);
    const answer = await company.api.post(`/api/invoices/${draft}/finalize`, {}, { key: 'route' });
    expectReused(answer, [{ in: 'operation', pointer: '' }]);
    expect(await conflictsOf('route')).toEqual([[{ in: 'operation', pointer: '' }]]);
  });

  test('is refused when the write was rejected, too', async () => {
    const body = paymentBody(invoiceId, 10_000_000);
    expect((await pay(body, 'rejected')).json.code).toBe('payment_exceeds_outstanding');
    expectReused(await pay({ ...body, amount: 1 }, 'rejected'), [{ in: 'body', pointer: '/amount' }]);
    expect((await pay(body, 'rejected')).json.code).toBe('payment_exceeds_outstanding');
  });

  test('is refused in the same way by every process', async () => {
    const another = await system.another();
    const api = company.as('owner', another.url);
    expect((await pay(paymentBody(invoiceId, 7), 'process')).status).toBe(201);
    expectReused(await api.post('/api/payments', paymentBody(invoiceId, 8), { key: 'process' }), [
      { in: 'body', pointer: '/amount' },
    ]);
    expect((await api.post('/api/payments', paymentBody(invoiceId, 7), { key: 'process' })).replayed).toBe(true);
  });
});
