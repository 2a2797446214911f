import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AuditRow } from '../../activities/audit/record-rows.ts';
import { openPool, type Pool } from '../../activities/database.ts';
import { createAuditBatch } from '../../api/writes/audit-batch.ts';
import type { Company } from '../support/companies.ts';
import { cloneDatabase, type TestDatabase } from '../support/database.ts';
import { paymentBody } from '../support/effects.ts';
import { expectOneStory } from '../support/one-story.ts';
import { type System, startSystem } from '../support/system.ts';

describe('audit rows that are written together', () => {
  let clone: TestDatabase;
  let pool: Pool;
  let statements = 0;
  beforeAll(async () => {
    clone = await cloneDatabase();
    pool = openPool({
      connectionString: clone.appUrl,
      max: 4,
      statementTimeoutMs: 10_000,
      applicationName: 'test-audit',
    });
    pool.connections.on('acquire', () => {
      statements += 1;
    });
  });
  afterAll(async () => {
    await pool.close();
    await clone.drop();
  });

  const row = (key: string, change: Partial<AuditRow> = {}): AuditRow => ({
    company_id: randomUUID(),
    operation_name: 'createPayment',
    operation_type: 'financial',
    deterministic_id: randomUUID(),
    idempotency_key: key,
    user_id: randomUUID(),
    status: 'replayed',
    error_code: null,
    error_message: null,
    execution_duration_ms: 1,
    request_id: randomUUID(),
    route_path: '/api/payments',
    http_method: 'POST',
    ...change,
  });
  const recorded = async (key: string) =>
    (await clone.owner.query('SELECT FROM idempotent_write_audit_log WHERE idempotency_key = $1', [key])).rowCount;

  test('are all there when their answers go out, of whatever company, by few statements', async () => {
    const batch = createAuditBatch(pool);
    statements = 0;
    await Promise.all(Array.from({ length: 700 }, () => batch.record(row('many'))));
    expect(await recorded('many')).toBe(700);
    // The first alone, then what has gathered meanwhile, five hundred at most.
    expect(statements).toBe(3);
  });

  test('fail every answer that waits for them when the statement fails; what comes later is written', async () => {
    const batch = createAuditBatch(pool);
    const alone = batch.record(row('before'));
    const together = [
      batch.record(row('with')),
      batch.record(row('with', { http_method: 'x'.repeat(11) })),
      batch.record(row('with')),
    ];
    await alone;
    const ends = await Promise.allSettled(together);
    expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    await batch.record(row('after'));
    expect([await recorded('before'), await recorded('with'), await recorded('after')]).toEqual([1, 0, 1]);
  });
});

describe('a replay whose audit row cannot be written', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
  });
  afterAll(() => system.stop());

  test('is not answered: no replay goes out unrecorded', async () => {
    const body = paymentBody(await company.invoice());
    const first = await company.api.post('/api/payments', body, { key: 'unrecorded' });
    await system.owner.query('REVOKE INSERT ON idempotent_write_audit_log FROM accubooks_app');
    const refused = await company.api.post('/api/payments', body, { key: 'unrecorded' });
    expect(refused.status).toBe(500);
    expect(refused.json).toMatchObject({ code: 'internal_error', retryable: true });
    expect(refused.replayed).toBe(false);
    await system.owner.query('GRANT INSERT ON idempotent_write_audit_log TO accubooks_app');
    expectOneStory([first, await company.api.post('/api/payments', body, { key: 'unrecorded' })], { firsts: 1 });
  });
});
