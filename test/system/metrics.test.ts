import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { type Company, companyMaker } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { heldOperation, hold, untilHeld } from '../support/held-operation.ts';
import { parse, type Sample, scrape as scrapeFrom, sum } from '../support/metrics-page.ts';
import { oneByOne } from '../support/one-by-one.ts';
import { type System, startSystem } from '../support/system.ts';

describe('/metrics', () => {
  let system: System;
  let company: Company;
  let broken = false;
  const withBug = (operation: Operation): Operation => ({
    ...oneByOne(operation),
    async write(tx, input, context) {
      if (broken) throw new Error('A bug');
      return operation.write(tx, input, context);
    },
  });
  beforeAll(async () => {
    system = await startSystem({
      operations: OPERATIONS.map((operation) =>
        operation === createCustomer ? heldOperation(withBug(operation)) : operation,
      ),
    });
    // What it needs is made through the API too, whose metrics are compared with the database.
    company = await companyMaker(system.owner, system.url)();
    await runAll();
  });
  afterAll(() => system.stop());

  const scrape = () => scrapeFrom(`${system.url}/metrics`);

  async function runAll(): Promise<void> {
    const pay = (body: unknown, key: string) => company.api.post('/api/payments', body, { key });
    const body = paymentBody(await company.invoice());
    await pay(body, 'paid');
    await pay(body, 'paid');
    await pay(body, 'paid');
    await pay({ ...body, amount: 99 }, 'paid'); // a mismatch
    await pay({ ...body, amount: 10_000_000 }, 'rejected');
    await pay({ ...body, amount: 10_000_000 }, 'rejected');
    await pay({ ...body, amount: 0 }, 'invalid'); // counted nowhere
    broken = true;
    await company.api.post('/api/customers', { name: 'Bug' }, { key: 'failed' });
    broken = false;
    await company.api.post('/api/customers', { name: 'Bug' }, { key: 'failed' });
  }

  test('has each metric of the contract, with its labels and no others', async () => {
    const labelsOf = (samples: readonly Sample[], name: string) =>
      [
        ...new Set(samples.filter((sample) => sample.name === name).flatMap(({ labels }) => Object.keys(labels))),
      ].toSorted();
    const page = await (await fetch(`${system.url}/metrics`)).text();
    const samples = parse(page);
    expect(labelsOf(samples, 'idempotent_writes_total')).toEqual(['operation', 'status', 'type']);
    expect(labelsOf(samples, 'idempotent_writes_replayed_total')).toEqual(['operation', 'type']);
    expect(labelsOf(samples, 'idempotent_writes_failed_total')).toEqual(['error_type', 'operation', 'type']);
    expect(labelsOf(samples, 'idempotent_write_duration_ms_count')).toEqual(['answer', 'operation', 'type']);
    expect(page).toContain('# TYPE idempotent_write_duration_ms histogram');
    expect(page).toContain('# TYPE idempotent_writes_workflows_triggered_total counter');
    expect(page).toMatch(/^write_record_missing_total 0$/m);
    const kinds = new Set(
      samples.flatMap(({ name, labels }) =>
        // A row of a batch may name no operation that there is.
        labels['operation'] === undefined || name === 'batch_rows_total'
          ? []
          : [`${labels['operation']} ${labels['type']}`],
      ),
    );
    for (const kind of kinds) expect(OPERATIONS.map(({ name, type }) => `${name} ${type}`)).toContain(kind);
  });

  test('counts what the database holds', async () => {
    const before = await scrape();
    const audit = async () =>
      (
        await system.owner.query(
          `SELECT operation_name AS operation, operation_type AS type, status, count(*)::int AS n
           FROM idempotent_write_audit_log GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`,
        )
      ).rows;
    const counted = async () =>
      (await scrape())
        .filter(({ name, value }) => name === 'idempotent_writes_total' && value > 0)
        .map(({ labels, value }) => ({
          operation: labels['operation'],
          type: labels['type'],
          status: labels['status'],
          n: value,
        }))
        .toSorted((a, b) => `${a.operation} ${a.status}`.localeCompare(`${b.operation} ${b.status}`, 'en'));
    expect(await counted()).toEqual(
      (await audit()).toSorted((a, b) =>
        `${a.operation} ${a.status}`.localeCompare(`${b.operation} ${b.status}`, 'en'),
      ),
    );
    expect(sum(before, 'idempotent_writes_replayed_total')).toBe(
      sum(before, 'idempotent_writes_total', { status: 'replayed' }),
    );
    for (const [errorType, operation, count] of [
      ['mismatch', 'createPayment', 1],
      ['rejected', 'createPayment', 1],
      ['run_failed', 'createCustomer', 1],
    ] as const) {
      expect([errorType, sum(before, 'idempotent_writes_failed_total', { error_type: errorType })]).toEqual([
        errorType,
        count,
      ]);
      expect(sum(before, 'idempotent_writes_failed_total', { error_type: errorType, operation })).toBe(count);
    }
    expect(sum(before, 'idempotent_writes_failed_total')).toBe(
      sum(before, 'idempotent_writes_total', { status: 'failed' }),
    );
    // first answers: the successes and the rejection
    const { rows } = await system.owner.query('SELECT count(*)::int AS n FROM idempotent_writes');
    expect(sum(before, 'idempotent_write_duration_ms_count', { answer: 'first' })).toBe(rows[0].n);
    expect(sum(before, 'idempotent_write_duration_ms_count', { answer: 'replay' })).toBe(
      sum(before, 'idempotent_writes_replayed_total'),
    );
  });

  test('does not count a write in progress among the failures', async () => {
    const before = await scrape();
    const release = await hold(system.owner);
    const send = (headers = {}) => company.api.post('/api/customers', { name: 'Held' }, { key: 'held', headers });
    const held = send();
    await untilHeld(system.owner);
    const met = await send({ prefer: 'wait=0' });
    expect([met.status, met.json.code]).toEqual([409, 'idempotency_in_progress']);
    const joined = send();
    // The one that would not wait had joined the held one's submission, too.
    const joinedBefore = sum(before, 'write_flights_joined_total');
    await expect
      .poll(async () => sum(await scrape(), 'write_flights_joined_total'), { timeout: 60_000 })
      .toBe(joinedBefore + 2);
    await release();
    expect((await held).status).toBe(201);
    expect((await joined).replayed).toBe(true);
    const after = await scrape();
    expect(sum(after, 'idempotent_writes_failed_total')).toBe(sum(before, 'idempotent_writes_failed_total'));
    expect(sum(after, 'idempotent_writes_total')).toBe(sum(before, 'idempotent_writes_total') + 2);
  });

  test('names no company, no user and no key', async () => {
    const page = await (await fetch(`${system.url}/metrics`)).text();
    for (const secret of [
      company.id,
      ...Object.values(company.users).map(({ id }) => id),
      'paid"',
      'rejected-',
      company.id.slice(0, 8),
    ]) {
      expect(page).not.toContain(secret);
    }
    expect(page).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-/);
  });

  test('needs the token where one is configured', async () => {
    const { url } = await system.another({ environment: { METRICS_TOKEN: 'a-token-for-the-scraper' } });
    const status = async (authorization?: string) =>
      (await fetch(`${url}/metrics`, { headers: authorization === undefined ? {} : { authorization } })).status;
    expect(await status()).toBe(401);
    expect(await status('Bearer wrong')).toBe(401);
    expect(await status('Bearer a-token-for-the-scraper')).toBe(200);
  });
});
