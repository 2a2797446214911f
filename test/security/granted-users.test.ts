import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ApiClient, createApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';

let system: System;
let company: Company;
let other: Company;
beforeAll(async () => {
  system = await startSystem();
  [company, other] = [await system.company(), await system.company()];
});
afterAll(() => system.stop());

describe('an owner who grants access to the users of other companies', () => {
  const emailOf = async (userId: string) => (await company.api.get(`/api/users/${userId}`)).json.email;
  const grant = (userId: string, roles: readonly string[]) =>
    company.api.created(`/api/users/${userId}/access`, { roles });

  test('learns no e-mail address: not by the grant, a second one, the list, the event or the end of the access', async () => {
    const userId = other.users.accountant.id;
    const { rows } = await system.owner.query('SELECT email FROM users WHERE id = $1', [userId]);
    const told = [
      await grant(userId, ['user']),
      await grant(userId, ['admin']),
      (await company.api.get(`/api/users/${userId}`)).json,
      (await company.api.get('/api/users?limit=200')).json,
      (await company.api.get('/api/events?limit=200')).json,
      (await company.api.get('/api/writes?limit=200')).json,
      await grant(userId, []),
      await grant(userId, ['user']),
    ];
    expect(told[0]).toEqual({ userId, email: null, roles: ['user'] });
    expect(JSON.stringify(told)).not.toContain(rows[0].email);
    // What they do in their own company changes nothing in this one.
    expect((await other.as('accountant').get('/api/customers')).status).toBe(200);
    expect(await emailOf(userId)).toBeNull();
  });

  test.each([
    ['read', 'manager', (api: ApiClient) => api.get('/api/me')],
    ['write', 'admin', (api: ApiClient) => api.created('/api/customers', { name: 'Theirs', currency: 'USD' })],
  ] as const)('learns it once they have used the company, by a %s', async (_kind, role, use) => {
    const { id: userId } = other.users[role];
    await grant(userId, ['manager']);
    expect(await emailOf(userId)).toBeNull();
    await use(createApiClient(system.url, await signToken({ userId, companyId: company.id })));
    await until('the address to be shown', async () => /@example.test$/.test((await emailOf(userId)) ?? ''));
  });

  test('and not by their being refused', async () => {
    const userId = other.users.inventory_manager.id;
    const api = createApiClient(system.url, await signToken({ userId, companyId: company.id }));
    expect((await api.get('/api/me')).json.code).toBe('not_a_member');
    await grant(userId, ['user']);
    expect((await api.get('/api/customers')).json.code).toBe('forbidden');
    expect(await emailOf(userId)).toBeNull();
  });
});
