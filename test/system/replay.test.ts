import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';

describe('a replay', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
  });
  afterAll(() => system.stop());

  const pay = (body: unknown, key: string, headers: Record<string, string> = {}) =>
    company.api.post('/api/payments', body, { key, headers });

  function expectReplayOf(first: Answer, answer: Answer): void {
    expect([answer.status, answer.replayed]).toEqual([first.status, true]);
    expect(answer.text).toBe(first.text);
    expect(answer.headers.get('location')).toBe(first.headers.get('location'));
    expect(answer.headers.get('content-type')).toBe(first.headers.get('content-type'));
  }

  test('answers a request that says the same in other words', async () => {
    const invoiceId = await company.invoice();
    const body = paymentBody(invoiceId);
    const first = await pay(body, 'other-words');
    expect(first.status).toBe(201);

    const members = Object.entries(body);
    const alike: Readonly<Record<string, unknown>> = {
      'members in another order': Object.fromEntries(members.toReversed()),
      'white space': JSON.stringify(body, undefined, '\t ').replaceAll('\n', '\r\n'),
      'a number written with a fraction of zero': JSON.stringify(body).replace(':100,', ':100.0,'),
      'a number with an exponent': JSON.stringify(body).replace(':100,', ':1e2,'),
      'escaped letters': JSON.stringify(body).replace('"USD"', '"\\u0055SD"'),
      'a constant default given': { ...body, bankAccountCode: '1000' },
      'an ID in upper case': { ...body, invoiceId: invoiceId.toUpperCase() },
    };
    for (const [how, content] of Object.entries(alike)) {
      const answer = await pay(content, 'other-words');
      expect([how, answer.status]).toEqual([how, 201]);
      expectReplayOf(first, answer);
    }
    expect(await countEffects(system.owner, { companyId: company.id, table: 'payments', key: 'other-words' })).toEqual({
      writes: 1,
      rows: 1,
      entries: 1,
      newAudit: 1,
      replayedAudit: Object.keys(alike).length,
      failedAudit: 0,
      events: 1,
    });
  });

  test('answers a body whose defaults deep inside are given explicitly', async () => {
    const invoice = { customerId: await company.customer(), currency: 'USD', dueDate: '2026-12-31' };
    const line = { description: 'Work', quantity: '1', unitPrice: 500 };
    const send = (lines: unknown[]) =>
      company.api.post('/api/invoices', { ...invoice, lines }, { key: 'deep-default' });
    const first = await send([line]);
    expect(first.status).toBe(201);
    expectReplayOf(first, await send([{ taxRateBasisPoints: 0, accountCode: '4000', ...line }]));
  });

  test('takes an absent body, an empty one and {} alike where there is nothing to say', async () => {
    const invoiceId = await company.draftInvoice();
    const headers = { 'idempotency-key': 'no-body', 'content-type': 'application/json' };
    const send = (body: string | undefined, more = headers) =>
      company.api.send('POST', `/api/invoices/${invoiceId}/finalize`, {
        headers: more,
        ...(body === undefined ? {} : { body }),
      });
    const first = await send('{}');
    expect(first.status).toBe(200);
    expectReplayOf(first, await send(''));
    const { 'content-type': _none, ...bare } = headers;
    expectReplayOf(first, await send(undefined, bare as typeof headers));
  });

  test('does not ask who sends it again, as long as they may: other token, other member, other client', async () => {
    const body = paymentBody(await company.invoice());
    const first = await pay(body, 'other-sender');
    const another = await signToken(
      { userId: company.users.owner.id, companyId: company.id },
      { claims: { jti: 'fresh' } },
    );
    const requests: Record<string, string>[] = [
      { authorization: `Bearer ${another}` },
      { authorization: `bearer ${company.users.accountant.token}` },
      { 'user-agent': 'another-client/2', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
      { 'x-request-id': 'another-request' },
      { prefer: 'respond-async, wait=0', accept: 'text/html' },
    ];
    for (const headers of requests) expectReplayOf(first, await pay(body, 'other-sender', headers));
  });

  test('does not look at the query string', async () => {
    const first = await company.api.post('/api/customers', { name: 'Query' }, { key: 'query' });
    expectReplayOf(first, await company.api.post('/api/customers?again=1', { name: 'Query' }, { key: 'query' }));
  });

  test('carries the content headers only; all others are of the request at hand', async () => {
    const body = paymentBody(await company.invoice());
    const first = await pay(body, 'headers', { 'x-request-id': 'request-one', prefer: 'wait=20' });
    expect(first.headers.get('x-request-id')).toBe('request-one');
    expect(first.headers.get('preference-applied')).toBe('wait=20');
    const firstDate = Date.parse(first.headers.get('date') ?? '');
    await new Promise((resolve) => setTimeout(resolve, 1_100)); // the Date header knows whole seconds

    const second = await pay(body, 'headers', { 'x-request-id': 'request-two' });
    expectReplayOf(first, second);
    expect(second.headers.get('x-request-id')).toBe('request-two');
    expect(second.headers.get('preference-applied')).toBeNull();
    expect(second.headers.get('set-cookie')).toBeNull();
    expect(second.headers.get('retry-after')).toBeNull();
    expect(Date.parse(second.headers.get('date') ?? '')).toBeGreaterThan(firstDate);
    expect(second.text).not.toContain('request-one');
  });

  test('leaves its own line in the audit log: who asked, by which request', async () => {
    const body = { name: 'Audited' };
    await company.api.post('/api/customers', body, { key: 'audited', headers: { 'x-request-id': 'audit-one' } });
    await company
      .as('admin')
      .post('/api/customers', body, { key: 'audited', headers: { 'x-request-id': 'audit-two' } });
    const { rows } = await system.owner.query(
      `SELECT status, request_id, user_id, operation_name, http_method, route_path, error_code, deterministic_id IS NOT NULL AS known
       FROM idempotent_write_audit_log WHERE company_id = $1 AND idempotency_key = 'audited' ORDER BY id`,
      [company.id],
    );
    const line = {
      operation_name: 'createCustomer',
      http_method: 'POST',
      route_path: '/api/customers',
      error_code: null,
      known: true,
    };
    expect(rows).toEqual([
      { ...line, status: 'new', request_id: 'audit-one', user_id: company.users.owner.id },
      { ...line, status: 'replayed', request_id: 'audit-two', user_id: company.users.admin.id },
    ]);
  });
});
