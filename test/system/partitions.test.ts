import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { migrate } from '../../migrations/migrate.ts';
import { type Actors, actors } from '../support/actors.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { type System, startSystem } from '../support/system.ts';

describe('the audit log has a place for every month', () => {
  let system: System;
  let company: Company;
  let sql: Actors;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
    sql = actors(system.owner, system.environment['DATABASE_URL'] as string);
  });
  afterAll(async () => {
    await sql.end();
    await system.stop();
  });

  const partitions = async () => {
    const { rows } = await system.owner.query<{ name: string; bounds: string }>(
      `SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds
       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent = 'idempotent_write_audit_log'::regclass ORDER BY c.relname COLLATE "C"`,
    );
    return rows;
  };
  const inFallback = async () =>
    (await system.owner.query('SELECT count(*)::int AS n FROM audit_partitions.fallback')).rows[0].n;
  const months = async (first: number, last: number) =>
    (
      await system.owner.query<{ name: string }>(
        `SELECT to_char(now() AT TIME ZONE 'UTC' + make_interval(months => n), '"y"YYYY"m"MM') AS name
         FROM generate_series($1::int, $2::int) AS n`,
        [first, last],
      )
    ).rows.map(({ name }) => name);

  test('this month’s, those of 24 months ahead, and one for all others', async () => {
    const made = await partitions();
    expect(made.map(({ name }) => name)).toEqual(['fallback', ...(await months(0, 24))]);
    expect(made[0]?.bounds).toBe('DEFAULT');
  });

  test('each month ends where the next begins, at midnight UTC', async () => {
    const bounds = (await partitions()).slice(1).map(({ bounds }) => {
      const [, from, to] = /^FOR VALUES FROM \('(.+)'\) TO \('(.+)'\)$/.exec(bounds) ?? [];
      return { from: new Date(from ?? '').toISOString(), to: new Date(to ?? '').toISOString() };
    });
    expect(bounds.slice(1).map(({ from }) => from)).toEqual(bounds.slice(0, -1).map(({ to }) => to));
    for (const { from, to } of bounds) {
      expect(from).toMatch(/^\d{4}-\d\d-01T00:00:00.000Z$/);
      expect(to > from).toBe(true);
    }
  });

  test('a write of today is recorded in the partition of this month', async () => {
    await company.api.created('/api/payments', paymentBody(await company.invoice()));
    const { rows } = await system.owner.query(
      'SELECT DISTINCT tableoid::regclass::text AS partition FROM idempotent_write_audit_log',
    );
    expect(rows).toEqual([{ partition: `audit_partitions.${(await months(0, 0))[0]}` }]);
    expect(await inFallback()).toBe(0);
  });

  test('a row of a month beyond goes to the one for all others', async () => {
    await sql.as('application', company.id, (client) =>
      client.query(
        `INSERT INTO idempotent_write_audit_log (timestamp, company_id, operation_name, operation_type, idempotency_key,
           user_id, status, request_id, route_path, http_method)
         VALUES (now() + interval '30 months', $1, 'createPayment', 'financial', 'later', $2, 'replayed', 'r', '/', 'POST')`,
        [company.id, company.users.owner.id],
      ),
    );
    expect(await inFallback()).toBe(1);
  });

  test('without a partition for this month a write still succeeds, and so do replays', async () => {
    const own = await system.company();
    const body = paymentBody(await own.invoice());
    const [month] = await months(0, 0);
    await system.owner.query(`DROP TABLE audit_partitions.${month}`);
    const before = await inFallback();

    const first = await own.api.post('/api/payments', body, { key: 'no-month' });
    const second = await own.api.post('/api/payments', body, { key: 'no-month' });
    expect([first.status, first.replayed, second.status, second.replayed]).toEqual([201, false, 201, true]);
    const effects = await countEffects(system.owner, { companyId: own.id, table: 'payments', key: 'no-month' });
    expect(effects).toMatchObject({ writes: 1, rows: 1, newAudit: 1, replayedAudit: 1, events: 1 });
    expect(await inFallback()).toBe(before + 2);
  });

  test('a month that has rows there stays there, and stops neither a migration nor the other months', async () => {
    const [thisMonth, lastMonth] = [(await months(0, 0))[0], (await months(24, 24))[0]];
    await system.owner.query(`DROP TABLE audit_partitions.${lastMonth}`);
    expect(await inFallback()).toBeGreaterThan(0);

    const connectionString = (system.owner.options as { connectionString: string }).connectionString;
    await migrate({ connectionString });

    const names = (await partitions()).map(({ name }) => name);
    expect(names).not.toContain(thisMonth);
    expect(names).toContain(lastMonth);
  });
});
