import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { employeeBody, hire, payRunBody } from '../support/payroll.ts';
import { keyWorkflow, statusOf } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
let invoiceId: string;

beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  invoiceId = await company.invoice({ total: 100_000_000 });
  await setPolicies([{ operation: 'createPayment', amountFrom: 10_000, approverRoles: ['admin', 'owner'] }]);
});
afterAll(() => system.stop());

async function setPolicies(policies: readonly object[]) {
  const { version } = (await company.api.get('/api/company/approval-policies')).json;
  const set = await company.api.post(
    '/api/company/approval-policies',
    { expectedVersion: version, policies },
    { method: 'PATCH' },
  );
  expect(set.status, set.text).toBe(200);
  return set.json;
}

const pay = (key: string, amount = 10_000, headers = {}) =>
  company.as('accountant').post('/api/payments', paymentBody(invoiceId, amount), { key, headers });
const decide = (
  key: string,
  action: 'approve' | 'reject',
  role: 'admin' | 'owner' | 'accountant' | 'manager',
  body?: object,
) =>
  company.as(role).send('POST', `/api/writes/${key}/${action}`, {
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
const effectsOf = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });

describe('a write that a policy matches', () => {
  test('is told to the approver as it ended, though it has ended their membership', async () => {
    const own = await system.company();
    const policies = [{ operation: 'grantUserAccess', approverRoles: ['admin'] }];
    await own.api.post('/api/company/approval-policies', { expectedVersion: 1, policies }, { method: 'PATCH' });
    const { id } = own.users.admin;
    await own.api.post(`/api/users/${id}/access`, { roles: [] }, { key: 'away' });
    const approved = await own.as('admin').send('POST', '/api/writes/away/approve');
    expect([approved.status, approved.json.state, approved.json.approvedBy]).toEqual([200, 'succeeded', id]);
    const again = await own.as('admin').send('POST', '/api/writes/away/approve');
    expect([again.status, again.json.code]).toEqual([403, 'not_a_member']);
  });

  test('is refused at once by a rule that looks at the end of the transaction', async () => {
    const own = await system.company();
    const policies = [{ operation: 'grantUserAccess', approverRoles: ['admin'] }];
    await own.api.post('/api/company/approval-policies', { expectedVersion: 1, policies }, { method: 'PATCH' });
    const grant = (id: string) => own.api.post(`/api/users/${id}/access`, { roles: [] });
    const refused = await grant(own.users.owner.id);
    expect([refused.status, refused.json.code]).toEqual([409, 'last_owner']);
    expect((await grant(own.users.user.id)).json.state).toBe('pending_approval');
  });

  test('waits, is told by every request, and is executed once when it is approved', async () => {
    const first = await pay('approved');
    expect(first.status, first.text).toBe(202);
    expect(first.headers.get('retry-after')).toBe('60');
    expect(first.headers.get('location')).toBe('/api/writes/approved');
    expect(first.json).toMatchObject({ state: 'pending_approval', approvals: [], approvalsNeeded: 1 });
    const again = await pay('approved');
    expect([again.status, again.json.state]).toEqual([202, 'pending_approval']);
    expect((await pay('approved', 10_001)).status).toBe(422);
    expect((await decide('approved', 'approve', 'accountant')).json.code).toBe('approver_is_requester');
    expect((await decide('approved', 'approve', 'manager')).json.code).toBe('forbidden');
    const approved = await decide('approved', 'approve', 'admin', { comment: 'Fine' });
    expect(approved.status, approved.text).toBe(200);
    expect(approved.json).toMatchObject({
      state: 'succeeded',
      approvedBy: company.users.admin.id,
      approvals: [{ userId: company.users.admin.id, decision: 'approved', comment: 'Fine' }],
    });
    expect((await decide('approved', 'approve', 'admin')).status).toBe(200);
    expect((await decide('approved', 'reject', 'admin')).json.code).toBe('already_decided');
    expect((await decide('approved', 'approve', 'owner')).json.code).toBe('approval_not_pending');
    const replay = await pay('approved');
    expect([replay.status, replay.replayed]).toEqual([201, true]);
    expect(await effectsOf('approved')).toMatchObject({ writes: 1, rows: 1, entries: 1, newAudit: 1, events: 1 });
    const { eventId } = (
      await system.owner.query(
        `SELECT o.id AS "eventId" FROM outbox o JOIN idempotent_writes w USING (company_id, write_id)
         WHERE o.company_id = $1 AND w.idempotency_key = 'approved'`,
        [company.id],
      )
    ).rows[0];
    expect((await company.api.get(`/api/events/${eventId}`)).json.approvedBy).toBe(company.users.admin.id);
    const told = await system.owner.query(
      `SELECT o.payload ->> 'approvedBy' AS event, a.metadata ->> 'approvedBy' AS audit
       FROM idempotent_write_audit_log a JOIN outbox o ON o.company_id = a.company_id AND o.write_id = a.deterministic_id
       WHERE a.company_id = $1 AND a.idempotency_key = 'approved' AND a.status = 'new'`,
      [company.id],
    );
    expect(told.rows).toEqual([{ event: company.users.admin.id, audit: company.users.admin.id }]);
  });

  test('is below the amount made at once', async () => {
    expect((await pay('small', 9_999, { prefer: 'wait=60' })).status).toBe(201);
  });

  test('ends with a rejection', async () => {
    expect((await pay('rejected')).status).toBe(202);
    const rejected = await decide('rejected', 'reject', 'owner', { comment: 'No' });
    expect(rejected.json).toMatchObject({ state: 'rejected', status: 409 });
    const after = await pay('rejected');
    expect([after.status, after.json.code, after.replayed]).toEqual([409, 'approval_rejected', true]);
    expect(after.json.detail).toMatch(/: No$/);
    expect(await effectsOf('rejected')).toMatchObject({ writes: 0, rows: 0, entries: 0, failedAudit: 1, events: 0 });
  });

  test('is waited for by a client that asks to wait', async () => {
    const waiting = pay('waited', 10_000, { prefer: 'wait=20' });
    await until(
      'it to wait',
      async () => (await company.api.get('/api/writes/waited')).json.state === 'pending_approval',
    );
    await decide('waited', 'approve', 'admin');
    const answer = await waiting;
    expect([answer.status, answer.replayed]).toEqual([201, false]);
  });

  test('can be cancelled', async () => {
    expect((await pay('cancelled')).status).toBe(202);
    const cancelled = await company.api.send('POST', '/api/writes/cancelled/cancel');
    expect(cancelled.json).toMatchObject({ state: 'cancelled', status: 409, attempts: 0 });
    expect((await pay('cancelled')).json.code).toBe('write_cancelled');
    expect((await decide('cancelled', 'approve', 'admin')).json.code).toBe('approval_not_pending');
    const waiting = (await company.api.get('/api/approvals')).json.items.map(({ key }: { key: string }) => key);
    expect(waiting).not.toContain('cancelled');
    await until(
      'the end of its run',
      async () => (await statusOf(system.temporal, company, 'cancelled')) === 'COMPLETED',
    );
  });

  test('is told as it was asked for although it was cancelled, to whom it was told while it waited', async () => {
    const asked = await pay('asked', 10_000, { 'x-request-id': 'the-first' });
    const { writeId, requestedAt } = asked.json;
    const { users } = company;
    await company.as('owner').send('POST', '/api/writes/asked/cancel', { headers: { 'x-request-id': 'the-cancel' } });
    const told = {
      ...{ key: 'asked', state: 'cancelled', status: 409, writeId, operation: 'createPayment', type: 'financial' },
      ...{ actor: { userId: users.accountant.id }, requestId: 'the-first', requestedAt, attempts: 0 },
      ...{ request: { params: {}, body: { amount: 10_000 } }, response: { code: 'write_cancelled' } },
      timeline: [
        { kind: 'requested', at: requestedAt, requestId: 'the-first', userId: users.accountant.id },
        { kind: 'started', at: requestedAt },
        { kind: 'approval_requested' },
        { kind: 'cancelled', requestId: 'the-cancel', userId: users.owner.id },
      ],
    };
    for (const role of ['accountant', 'owner', 'manager', 'auditor'] as const) {
      expect((await company.as(role).get('/api/writes/asked')).json).toMatchObject(told);
    }
    for (const role of ['employee', 'inventory_manager', 'user'] as const) {
      expect((await company.as(role).get('/api/writes/asked')).json.code).toBe('write_not_found');
    }
    const listed = async (role: 'owner' | 'manager') =>
      (await company.as(role).get('/api/writes?state=cancelled')).json.items.find(
        ({ key }: { key: string }) => key === 'asked',
      );
    const { request: _, response: __, timeline: ___, ...summary } = told;
    for (const role of ['owner', 'manager'] as const) expect(await listed(role)).toMatchObject(summary);
    // Whoever asked for it may make sure again, and is answered alike.
    expect((await company.as('accountant').send('POST', '/api/writes/asked/cancel')).json).toMatchObject(told);
  });

  test('of pay stays hidden from those who may not read it, also when it was cancelled', async () => {
    const own = await system.company();
    const policies = [{ operation: 'createPayRun', approverRoles: ['admin'] }];
    await own.api.post('/api/company/approval-policies', { expectedVersion: 1, policies }, { method: 'PATCH' });
    await hire(own);
    await own.as('accountant').post('/api/payroll/pay-runs', payRunBody(), { key: 'pay' });
    expect((await own.api.send('POST', '/api/writes/pay/cancel')).json.request).toMatchObject({ body: payRunBody() });
    const seen = async () => (await own.as('auditor').get('/api/security-log?event=payroll_read')).json.items;
    await until('the row of who was shown it', async () => (await seen()).length > 0);
    const [row] = await seen();
    expect(row).toMatchObject({ userId: own.users.owner.id, action: 'POST /api/writes/:key/cancel' });
    expect((await own.as('accountant').get('/api/writes/pay')).json.request).toMatchObject({ body: payRunBody() });
    expect((await own.as('manager').get('/api/writes/pay')).json.code).toBe('write_not_found');
    await system.owner.query("UPDATE memberships SET roles = '{manager}' WHERE company_id = $1 AND user_id = $2", [
      ...[own.id, own.users.accountant.id],
    ]);
    // Who asked for it knows of it, and no more.
    const { json } = await own.as('accountant').get('/api/writes/pay');
    expect(json).toMatchObject({ state: 'cancelled', operation: 'createPayRun', request: null, response: null });
  });

  test('is counted by a summary, which shows nothing that is confidential and leaves no row in the security log', async () => {
    const own = await system.company();
    const policies = [{ operation: 'createEmployee', approverRoles: ['manager'], count: 2 }];
    await own.api.post('/api/company/approval-policies', { expectedVersion: 1, policies }, { method: 'PATCH' });
    await own.api.post('/api/payroll/employees', employeeBody(), { key: 'counted' });
    const body = JSON.stringify({ comment: 'Is 5000000 right?' });
    const headers = { 'content-type': 'application/json' };
    await own.as('manager').send('POST', '/api/writes/counted/approve', { body, headers });
    const summary = await own.as('accountant').get('/api/approvals?summary=true&limit=200');
    expect(summary.json.items).toMatchObject([
      {
        key: 'counted',
        operation: 'createEmployee',
        request: null,
        approvals: [{ decision: 'approved', comment: null }],
      },
    ]);
    expect(summary.text).not.toContain('5000000');
    expect((await own.as('accountant').get('/api/approvals?summary=yes')).status).toBe(422);
    // After it, so that its row comes after those of the summary.
    const whole = await own.as('accountant').get('/api/approvals');
    expect(whole.text).toContain('Is 5000000 right?');
    const reads = async () =>
      (await own.as('auditor').get('/api/security-log?event=payroll_read')).json.items.filter(
        ({ userId, action }: { userId: string; action: string }) =>
          userId === own.users.accountant.id && action === 'GET /api/approvals',
      );
    await until('the row of the whole list', async () => (await reads()).length > 0);
    expect((await reads()).map(({ requestId }: { requestId: string }) => requestId)).toEqual([
      whole.headers.get('x-request-id'),
    ]);
  });

  test('is executed although somebody has ended its run', async () => {
    expect((await pay('ended')).status).toBe(202);
    await keyWorkflow(system.temporal, company, 'ended').terminate('by an operator');
    expect((await company.api.get('/api/writes/ended')).json.state).toBe('pending_approval');
    expect((await decide('ended', 'approve', 'admin')).json.state).toBe('succeeded');
    expect(await effectsOf('ended')).toMatchObject({ writes: 1, rows: 1, newAudit: 1, events: 1 });
  });

  test('leaves a group for a run of its own, and the others of the group are made', async () => {
    const keys = Array.from({ length: 30 }, (_, index) => `group-${index}`);
    const answers = await Promise.all(
      keys.map((key, index) => (index % 3 === 0 ? pay(key) : pay(key, 10, { prefer: 'wait=60' }))),
    );
    expect(answers.map(({ status }) => status)).toEqual(keys.map((_, index) => (index % 3 === 0 ? 202 : 201)));
    for (const [index, key] of keys.entries()) {
      if (index % 3 !== 0) continue;
      expect((await decide(key, 'approve', 'admin')).json.state).toBe('succeeded');
    }
    for (const key of keys) expect(await effectsOf(key)).toMatchObject({ writes: 1, rows: 1, newAudit: 1, events: 1 });
  });
});

describe('a change of the policies', () => {
  const PATH = '/api/company/approval-policies';
  const change = (own: Company, expectedVersion: number, policies: readonly object[], key?: string) =>
    own.api.post(PATH, { expectedVersion, policies }, { method: 'PATCH', ...(key === undefined ? {} : { key }) });

  test('waits itself where a policy asks for it', async () => {
    const own = await system.company();
    await change(own, 1, [{ operation: 'updateApprovalPolicies', approverRoles: ['admin'] }]);
    const asked = await change(own, 2, [], 'lifted');
    expect([asked.status, asked.json.state]).toEqual([202, 'pending_approval']);
    expect((await own.api.get(PATH)).json.version).toBe(2);
    const approved = await own.as('admin').send('POST', '/api/writes/lifted/approve');
    expect(approved.json.state).toBe('succeeded');
    expect((await own.api.get(PATH)).json).toEqual({ version: 3, policies: [] });
  });

  test.each([
    [
      'nobody else could approve',
      { operation: 'updateApprovalPolicies', approverRoles: ['owner'] },
      'approvers_missing',
    ],
    ['too few could', { operation: 'grantUserAccess', approverRoles: ['admin'], count: 2 }, 'approvers_missing'],
    ['there is no such operation', { operation: 'payTwice', approverRoles: ['admin'] }, 'policy_operation_unknown'],
    [
      'the operation has no amount',
      { operation: 'createCustomer', amountFrom: 1, approverRoles: ['admin'] },
      'policy_amount_unknown',
    ],
    [
      'the operation has no currency',
      { operation: 'createCustomer', currency: 'USD', approverRoles: ['admin'] },
      'policy_amount_unknown',
    ],
  ])('is refused where %s', async (_why, policy, code) => {
    const own = await system.company();
    const refused = await change(own, 1, [policy]);
    expect([refused.status, refused.json.code]).toEqual([422, code]);
    expect((await change(own, 2, [])).json.code).toBe('version_conflict');
  });

  test('is in the security log where it eases what was asked for', async () => {
    const own = await system.company();
    const from = (amountFrom: number) => [{ operation: 'createPayment', amountFrom, approverRoles: ['admin'] }];
    for (const [version, policies] of [from(200), from(100), from(200)].entries()) {
      expect((await change(own, version + 1, policies)).status).toBe(200);
    }
    const { items } = (await own.as('auditor').get('/api/security-log?event=control_lowered')).json;
    expect(items).toMatchObject([{ reason: 'approvalPolicies', details: { before: 3, after: 4 } }]);
  });
});

test('a comment about pay is told to whoever may read the request, and to nobody else who may decide', async () => {
  const own = await system.company();
  const policies = [{ operation: 'createEmployee', approverRoles: ['inventory_manager', 'admin'] }];
  await own.api.post('/api/company/approval-policies', { expectedVersion: 1, policies }, { method: 'PATCH' });
  const asked = await own.as('manager').post('/api/payroll/employees', employeeBody(), { key: 'commented' });
  expect(asked.status, asked.text).toBe(202);
  const comment = 'Not 77777 a year';
  const headers = { 'content-type': 'application/json' };
  const rejected = await own.as('admin').send('POST', '/api/writes/commented/reject', {
    ...{ body: JSON.stringify({ comment }), headers },
  });
  expect(rejected.status, rejected.text).toBe(200);
  const told = await own.as('inventory_manager').get('/api/writes/commented');
  expect([told.status, told.json.state, told.text.includes(comment)]).toEqual([200, 'rejected', false]);
  expect((await own.api.get('/api/writes/commented')).text).toContain(comment);
});
