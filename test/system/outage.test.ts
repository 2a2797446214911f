import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import type { ApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects } from '../support/effects.ts';
import { heldOperation, hold, untilHeld } from '../support/held-operation.ts';
import { startProxy, type TcpProxy, targetOf, through } from '../support/proxy.ts';
import { type System, startSystem } from '../support/system.ts';

/** The contract's bound: the client's wait and two seconds; and a margin for a busy machine. */
const GRACE_MS = 2_000;
const MARGIN_MS = 30_000;

describe('while a server is away', () => {
  let system: System;
  let company: Company;
  let temporal: TcpProxy;
  let postgres: TcpProxy;
  let api: ApiClient;
  beforeAll(async () => {
    system = await startSystem({
      operations: OPERATIONS.map((operation) => (operation === createCustomer ? heldOperation(operation) : operation)),
    });
    company = await system.company();
    temporal = await startProxy(targetOf(inject('temporalAddress')));
    const databaseUrl = system.environment['DATABASE_URL'] ?? '';
    postgres = await startProxy(targetOf(databaseUrl));
    const { url } = await system.another({
      environment: { TEMPORAL_ADDRESS: temporal.address, DATABASE_URL: through(databaseUrl, postgres) },
    });
    api = company.as('owner', url);
  });
  afterEach(() => {
    temporal.open();
    postgres.open();
  });
  afterAll(async () => {
    await system.stop();
    await temporal.close();
    await postgres.close();
  });

  const body = { name: 'Outage' };
  const send = (key: string, waitSeconds = 1) =>
    api.post('/api/customers', body, { key, headers: { prefer: `wait=${waitSeconds}` } });
  const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'customers', key });

  async function inTime<T>(waitSeconds: number, answer: Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const value = await answer;
    expect(performance.now() - startedAt).toBeLessThan(waitSeconds * 1000 + GRACE_MS + MARGIN_MS);
    return value;
  }

  /** What was unsure or refused becomes a write, once, when the same request is sent again. */
  async function expectMended(key: string): Promise<void> {
    await expect.poll(async () => (await send(key, 5)).status, { timeout: 120_000, interval: 500 }).toBe(201);
    expect(await effects(key)).toMatchObject({ writes: 1, rows: 1, newAudit: 1, failedAudit: 0, events: 1 });
    expect((await api.get('/livez')).status).toBe(200);
  }

  test.each(['cut', 'freeze'] as const)(
    'Temporal (%s): replays are served, and new writes are refused in time',
    async (how) => {
      const [done, fresh] = [`temporal-${how}-done`, `temporal-${how}-new`];
      const first = await send(done, 10);
      expect(first.status).toBe(201);
      temporal[how]();
      const replay = await inTime(1, send(done));
      expect([replay.status, replay.replayed, replay.text]).toEqual([201, true, first.text]);

      const refused = await inTime(1, send(fresh));
      expect([refused.status, refused.json.code]).toEqual([503, 'orchestrator_unavailable']);
      expect(refused.json).toMatchObject({ retryable: true, nextAction: 'retry_same_key' });
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect((await api.get('/readyz')).status).toBe(200);
      const invalid = await api.post('/api/customers', {}, { key: fresh });
      expect(invalid.status).toBe(422);

      temporal.open();
      await expectMended(fresh);
    },
  );

  test.each(['cut', 'freeze'] as const)(
    'PostgreSQL (%s): each request is refused in time, and nothing is lost',
    async (how) => {
      const [done, fresh] = [`postgres-${how}-done`, `postgres-${how}-new`];
      const first = await send(done, 10);
      expect(first.status).toBe(201);
      postgres[how]();
      for (const key of [done, fresh]) {
        const refused = await inTime(1, send(key));
        expect([refused.status, refused.json.code]).toEqual([503, 'storage_unavailable']);
        expect(refused.json).toMatchObject({ retryable: true, nextAction: 'retry_same_key' });
        expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
        expect(refused.text).not.toMatch(/ECONN|postgres:|timeout|127\.0\.0\.1/);
      }
      expect((await api.get('/readyz')).status).toBe(503);
      expect((await api.get('/livez')).status).toBe(200);

      postgres.open();
      await expectMended(fresh);
      await expect.poll(async () => (await send(done)).text, { timeout: 120_000, interval: 300 }).toBe(first.text);
    },
  );

  test.each(['cut', 'freeze'] as const)(
    'PostgreSQL (%s) after the start: the write was accepted, and goes on',
    async (how) => {
      const key = `postgres-${how}-accepted`;
      const release = await hold(system.owner);
      const waiting = inTime(2, send(key, 2));
      await untilHeld(system.owner);
      postgres[how]();
      const accepted = await waiting;
      expect([accepted.status, accepted.json.state]).toEqual([202, 'running']);
      expect(accepted.headers.get('location')).toBe(`/api/writes/${key}`);
      await release();
      postgres.open();
      await expectMended(key);
    },
  );
});
