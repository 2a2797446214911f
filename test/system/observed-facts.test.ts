import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPool, type Pool } from '../../activities/database.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createMetrics, type Metrics } from '../../worker/metrics.ts';
import { readOpenRuns } from '../../worker/open-runs.ts';
import { actors } from '../support/actors.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { holdInvoice, until } from '../support/held-invoice.ts';
import { parse, sum } from '../support/metrics-page.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
let relay: Pool;
let metrics: Metrics;
beforeAll(async () => {
  system = await startSystem({ environment: { STATEMENT_TIMEOUT_MS: '60000' } });
  company = await system.company();
  // No relay runs here: what is told of the outbox stays as a test leaves it.
  relay = openPool({
    connectionString: system.environment['RELAY_DATABASE_URL'] as string,
    max: 2,
    statementTimeoutMs: 10_000,
    applicationName: 'test-facts',
  });
  metrics = createMetrics({ database: { writes: relay, reads: relay }, operations: OPERATIONS });
  metrics.observeRelay(relay);
});
afterAll(async () => {
  await relay.close();
  await system.stop();
});

const scrape = async () => parse(await metrics.registry.metrics());
const change = (sql: string) => system.owner.query(sql);

describe('a worker tells', () => {
  test('how many events are not taken, and how old the oldest is', async () => {
    const before = await scrape();
    await company.api.created('/api/customers', { name: 'One' });
    await company.api.created('/api/customers', { name: 'Two' });
    await change(`UPDATE outbox SET occurred_at = now() - interval '10 minutes'
                  WHERE id = (SELECT id FROM outbox ORDER BY occurred_at LIMIT 1)`);
    const after = await scrape();
    const notTaken = { state: 'not_taken' };
    expect(sum(after, 'outbox_events', notTaken)).toBe(sum(before, 'outbox_events', notTaken) + 2);
    expect(sum(after, 'outbox_lag_seconds')).toBeGreaterThanOrEqual(600);
    expect(sum(after, 'outbox_lag_seconds')).toBeLessThan(660);
    await change(`UPDATE outbox SET sequence = nextval('outbox_sequence'), started_at = now(), delivered_at = now()`);
    const taken = await scrape();
    expect([sum(taken, 'outbox_events', notTaken), sum(taken, 'outbox_lag_seconds')]).toEqual([0, 0]);
  });

  test('how long a webhook call has been due, but not for one that is to come, nor for those behind it', async () => {
    const { rows } = await change('SELECT id FROM outbox ORDER BY sequence');
    const [first, second] = rows.map(({ id }) => id);
    const overdue = async () => sum(await scrape(), 'outbox_overdue_seconds');
    await change(`UPDATE outbox SET delivery_state = 'pending', batch_id = '${first}', delivered_at = NULL,
                    next_attempt_at = now() + interval '1 hour' WHERE id = '${first}'`);
    await change(`UPDATE outbox SET delivery_state = 'pending', batch_id = '${first}', delivered_at = NULL,
                    next_attempt_at = now() - interval '1 hour' WHERE id = '${second}'`);
    expect(await overdue()).toBe(0);
    expect(sum(await scrape(), 'outbox_events', { state: 'pending' })).toBe(2);
    await change(`UPDATE outbox SET next_attempt_at = now() - interval '20 minutes' WHERE id = '${first}'`);
    expect(await overdue()).toBeGreaterThanOrEqual(1_200);
    expect(await overdue()).toBeLessThan(1_260);
    await change(`UPDATE outbox SET delivery_state = 'given_up'`);
    expect(await overdue()).toBe(0);
    expect(sum(await scrape(), 'outbox_events', { state: 'given_up' })).toBeGreaterThanOrEqual(2);
  });

  test('how many months the audit log has partitions for, and of rows that have none', async () => {
    const facts = async () => {
      const samples = await scrape();
      return [sum(samples, 'audit_partitions_ahead'), sum(samples, 'audit_fallback_rows')];
    };
    expect(await facts()).toEqual([24, 0]);
    const { rows } = await change(
      `SELECT to_char(now() AT TIME ZONE 'UTC' + interval '3 months', '"y"YYYY"m"MM') AS name`,
    );
    await change(`DROP TABLE audit_partitions.${rows[0].name}`);
    const sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
    await sql.as('application', company.id, (client) =>
      client.query(
        `INSERT INTO idempotent_write_audit_log (timestamp, company_id, operation_name, operation_type, idempotency_key,
           user_id, status, request_id, route_path, http_method)
         VALUES (now() + interval '40 months', $1, 'createPayment', 'financial', 'later', $2, 'replayed', 'r', '/', 'POST')`,
        [company.id, company.users.owner.id],
      ),
    );
    await sql.end();
    expect(await facts()).toEqual([2, 1]);
  });

  test('what the last audits have found, and how long ago one has ended', async () => {
    const facts = async () => {
      const samples = await scrape();
      const found = (scope: string) => sum(samples, 'auditor_findings', { scope });
      const silent = sum(samples, 'auditor_silent_seconds');
      return { recent: found('recent'), all: found('all'), notAsked: sum(samples, 'auditor_not_asked'), silent };
    };
    // The database was made in this hour.
    const before = await facts();
    expect(before).toMatchObject({ recent: 0, all: 0, notAsked: 0 });
    expect(before.silent).toBeGreaterThan(0);
    const add = (id: string, scope: string, days: number, findings: number, notAsked: string) =>
      change(`INSERT INTO audit_runs (run_id, scope, started_at, ended_at, checked, finding_count, findings, could_not_ask)
        VALUES ('${id}', '${scope}', now(), now() - interval '${days} days', '{}', ${findings}, '[]', '${notAsked}')`);
    await add('first', 'all', 4, 7, '[]');
    await add('second', 'recent', 3, 5, '[{}, {}]');
    expect(await facts()).toMatchObject({ recent: 5, all: 7, notAsked: 2 });
    expect((await facts()).silent).toBeGreaterThan(2.9 * 86_400);
    await add('third', 'recent', 0, 0, '[]');
    const after = await facts();
    expect(after).toMatchObject({ recent: 0, all: 7, notAsked: 0 });
    expect(after.silent).toBeLessThan(3_600);
  });

  test('the age of the oldest open run, and of none when it has closed', async () => {
    const queue = system.environment['TEMPORAL_TASK_QUEUE'] as string;
    const ask = () => readOpenRuns(system.temporal, queue, 0);
    const body = paymentBody(await company.invoice());
    await until('all runs to close', async () => (await ask()).overAMinute === 0);
    const held = await holdInvoice(system.owner, body.invoiceId);
    const paying = company.api.post('/api/payments', body, { headers: { prefer: 'wait=60' } });
    await until('the run to be listed', async () => (await ask()).overAMinute === 1);
    await sleep(1_100);
    const { oldestSeconds } = await ask();
    expect(oldestSeconds).toBeGreaterThan(1);
    expect(oldestSeconds).toBeLessThan(60);
    // No transaction takes a minute: those of less are none of its business.
    expect(await readOpenRuns(system.temporal, queue)).toEqual({ overAMinute: 0, oldestSeconds: 0 });
    expect(
      sum(parse(await (await fetch(`${system.url}/metrics`)).text()), 'write_oldest_flight_seconds'),
    ).toBeGreaterThan(1);
    await held.release();
    expect((await paying).status).toBe(201);
    await until('the run to close', async () => (await ask()).overAMinute === 0);
  });

  test('how much of the time connections are in use, and how long one was waited for', async () => {
    const client = await relay.connections.connect();
    const before = sum(await scrape(), 'database_pool_busy_seconds_total', { pool: 'relay' });
    await sleep(300);
    const after = sum(await scrape(), 'database_pool_busy_seconds_total', { pool: 'relay' });
    client.release();
    expect(after - before).toBeGreaterThan(0.25);
    const samples = await scrape();
    expect(sum(samples, 'database_pool_connections', { pool: 'relay', state: 'max' })).toBe(2);
    expect(sum(samples, 'database_pool_wait_ms_count', { pool: 'relay' })).toBeGreaterThan(5);
  });
});

describe('who may ask', () => {
  test('the relay alone: the application is refused', async () => {
    const sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
    for (const call of [
      ...['SELECT * FROM relay_facts()', 'SELECT * FROM audit_partition_facts()', 'SELECT * FROM audit_run_facts()'],
    ]) {
      await expect(sql.as('application', company.id, (client) => client.query(call))).rejects.toThrow(
        /permission denied/,
      );
    }
    await sql.end();
  });
});

test('what cannot be asked has no value, and says so', async () => {
  const away = openPool({
    connectionString: 'postgres://nobody@127.0.0.1:1/nothing',
    max: 1,
    statementTimeoutMs: 1_000,
    applicationName: 'test-away',
  });
  const blind = createMetrics({
    database: { writes: away, reads: away },
    operations: OPERATIONS,
  });
  blind.observeRelay(away);
  blind.observeOpenRuns(() => new Promise(() => undefined));
  const samples = parse(await blind.registry.metrics());
  await away.close();
  for (const source of ['database', 'temporal']) {
    expect(samples.filter(({ name }) => name === `${source}_facts_known`)).toMatchObject([{ value: 0 }]);
  }
  const told = new Set(samples.map(({ name }) => name));
  expect(told).toContain('idempotent_writes_total');
  for (const name of ['outbox_lag_seconds', 'outbox_events', 'audit_partitions_ahead', 'write_oldest_run_seconds']) {
    expect(told).not.toContain(name);
  }
});
