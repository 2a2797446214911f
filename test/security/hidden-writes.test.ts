import { randomUUID } from 'node:crypto';
import { NativeConnection } from '@temporalio/worker';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Company } from '../support/companies.ts';
import { holdKeys } from '../support/held-keys.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
});
afterAll(() => system.stop());
afterEach(() => vi.restoreAllMocks());

describe('a write that a role may not see', () => {
  /** What a request costs: its statements about writes, and its calls to Temporal. The fewest of some, since others ask, too. */
  async function costOf(send: () => Promise<unknown>) {
    const costs: { statements: string[]; calls: number }[] = [];
    for (let attempt = 0; attempt < 4; attempt += 1) {
      const queries = vi.spyOn(pg.Client.prototype, 'query');
      const calls = vi.spyOn(NativeConnection.prototype, 'withDeadline');
      await send();
      const statements = (queries.mock.calls as unknown as [string | { text: string }][])
        .map(([query]) => (typeof query === 'string' ? query : query.text))
        .filter((text) => /lookup_write|audit_log|outbox/.test(text));
      costs.push({ statements, calls: calls.mock.calls.length });
      vi.restoreAllMocks();
    }
    return {
      statements: costs.map(({ statements }) => statements).toSorted((a, b) => a.length - b.length)[0],
      calls: Math.min(...costs.map(({ calls }) => calls)),
    };
  }

  const statusAs = (role: 'user' | 'inventory_manager', key: string) => company.as(role).get(`/api/writes/${key}`);

  test('costs the same to look for as one that is not there', async () => {
    await company.api.created('/api/customers', { name: 'Hidden' }, { key: 'hidden' });
    const missing = await costOf(() => statusAs('user', randomUUID()));
    expect(missing.calls).toBe(1);
    expect(missing.statements?.length).toBeGreaterThan(1);
    expect(await costOf(() => statusAs('user', 'hidden'))).toEqual(missing);
    const [hidden, none] = [await statusAs('user', 'hidden'), await statusAs('user', 'nobodys')];
    expect(hidden.status).toBe(404);
    expect(hidden.text.replaceAll('hidden', 'nobodys').replace(hidden.json.requestId, none.json.requestId)).toBe(
      none.text,
    );
  });

  test('costs the same while it runs', async () => {
    const key = 'hidden-and-running';
    const held = await holdKeys(system.owner, { companyId: company.id, userId: company.users.owner.id, keys: [key] });
    const write = company.api.post('/api/customers', { name: 'Slow' }, { key, headers: { prefer: 'respond-async' } });
    await held.untilMet();
    await write;
    const missing = await costOf(() => statusAs('user', randomUUID()));
    expect(await costOf(() => statusAs('user', key))).toEqual(missing);
    expect((await statusAs('user', key)).status).toBe(404);
    await held.release();
  });

  test('costs the same to cancel in vain', async () => {
    await company.api.created('/api/customers', { name: 'Kept' }, { key: 'kept' });
    const cancel = (key: string) => company.as('user').post(`/api/writes/${key}/cancel`, undefined);
    const missing = await costOf(() => cancel(randomUUID()));
    expect(await costOf(() => cancel('kept'))).toEqual(missing);
    expect((await cancel('kept')).json.code).toBe('forbidden');
    expect((await company.api.get('/api/writes/kept')).json.state).toBe('succeeded');
  });
});

describe('the timeline of a write', () => {
  test('is not written by a client who names its request as that write', async () => {
    const key = 'written-into';
    await company.api.created('/api/customers', { name: 'Mine' }, { key });
    const before = (await company.api.get(`/api/writes/${key}`)).json.timeline;
    const headers = { 'x-request-id': key };
    expect((await company.api.get('/api/company/webhook-secret', headers)).status).toBe(200);
    await company.api.get('/api/company/settings', headers);
    await company.api.post('/api/company/webhook-test', undefined, { headers });
    expect((await company.api.get(`/api/writes/${key}`)).json.timeline).toEqual(before);
  });

  test('does not show what earlier releases have recorded so', async () => {
    const key = 'written-into-before';
    await company.api.created('/api/customers', { name: 'Mine' }, { key });
    const before = (await company.api.get(`/api/writes/${key}`)).json.timeline;
    await system.owner.query(
      `INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, idempotency_key, user_id, status,
         request_id, route_path, http_method)
       VALUES ($1, 'readWebhookSecret', 'high-risk', $2, $3, 'replayed', $2, '/api/company/webhook-secret', 'GET')`,
      [company.id, key, company.users.owner.id],
    );
    expect((await company.api.get(`/api/writes/${key}`)).json.timeline).toEqual(before);
  });

  test('shows nothing of a write of another company under the same key', async () => {
    const other = await system.company();
    await company.api.created('/api/customers', { name: 'Ours' }, { key: 'shared' });
    for (let sent = 0; sent < 3; sent += 1)
      await other.api.post('/api/customers', { name: 'Theirs' }, { key: 'shared' });
    const { timeline } = (await company.api.get('/api/writes/shared')).json;
    expect(timeline.filter(({ kind }: { kind: string }) => kind === 'replayed')).toEqual([]);
  });
});
