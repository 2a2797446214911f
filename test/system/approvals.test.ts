import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
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
    expect(await effectsOf('rejected')).toMatchObject({ writes: 0, rows: 0, entries: 0, failedAudit: 1, events: 0 });
  });

  test('is waited for by a client that asks to wait', async () => {
    const waiting = pay('waited', 10_000, { prefer: 'wait=20' });
    await expect.poll(async () => (await company.api.get('/api/writes/waited')).json.state).toBe('pending_approval');
    await decide('waited', 'approve', 'admin');
    const answer = await waiting;
    expect([answer.status, answer.replayed]).toEqual([201, false]);
  });

  test('can be cancelled', async () => {
    expect((await pay('cancelled')).status).toBe(202);
    const cancelled = await company.api.send('POST', '/api/writes/cancelled/cancel');
    expect(cancelled.json).toMatchObject({ state: 'cancelled' });
    expect((await pay('cancelled')).json.code).toBe('write_cancelled');
    expect((await decide('cancelled', 'approve', 'admin')).json.code).toBe('approval_not_pending');
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
