import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase } from '../../activities/database.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { startApprovals } from '../../worker/approvals/start-approvals.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { createFence } from '../../worker/fence.ts';
import { createMetrics } from '../../worker/metrics.ts';
import { decide, expire, setPolicies } from '../support/approvals.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { keyWorkflow, statusOf } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';

/** The worker's part: runs of writes that wait are woken, and started where Temporal has none. */
let system: System;
let company: Company;
let invoiceId: string;
let close: () => Promise<void>;

/** Needs two approvals. */
const FOR_TWO = 50_000;

beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  invoiceId = await company.invoice({ total: 100_000_000 });
  await setPolicies(company, [
    { operation: 'createPayment', amountFrom: 10_000, approverRoles: ['admin'] },
    { operation: 'createPayment', amountFrom: FOR_TWO, approverRoles: ['admin', 'owner'], count: 2 },
  ]);
  close = await startKeeper();
});
afterAll(async () => {
  await close();
  await system.stop();
});

async function startKeeper(): Promise<() => Promise<void>> {
  const config = readWorkerConfig(system.environment);
  const connection = await NativeConnection.connect({ address: config.TEMPORAL_ADDRESS });
  const database = openDatabase({
    connectionString: config.DATABASE_URL,
    writePoolMax: 1,
    readPoolMax: 2,
    statementTimeoutMs: 10_000,
    applicationName: 'test-approvals',
  });
  const logger = pino({ level: process.env['TEST_LOG_LEVEL'] ?? 'silent' });
  const fence = await createFence(database.reads, logger);
  const metrics = createMetrics({ database, operations: OPERATIONS });
  const stop = startApprovals({ config, connection, database, operations: OPERATIONS, fence, metrics, logger });
  return async () => {
    await stop();
    fence.close();
    await connection.close();
    await database.close();
  };
}

async function waiting(key: string, amount = 10_000): Promise<void> {
  const asked = await company.as('accountant').post('/api/payments', paymentBody(invoiceId, amount), { key });
  expect([asked.status, asked.json.state]).toEqual([202, 'pending_approval']);
}

const stateOf = async (key: string) => (await company.api.get(`/api/writes/${key}`)).json.state as string;
const effectsOf = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });

/** As a decision that was committed by a process that ended before it could tell the run. */
async function approveUntold(key: string): Promise<void> {
  await system.owner.query(
    `INSERT INTO approval_decisions (company_id, idempotency_key, user_id, requested_by, decision, request_id)
     VALUES ($1, $2, $3, $4, 'approved', 'untold')`,
    [company.id, key, company.users.admin.id, company.users.accountant.id],
  );
}

/** Its request for approval is open again, and nothing else of it is there. Its run has completed. */
async function restoreToBeforeItsAnswer(key: string): Promise<void> {
  const session = await system.owner.connect();
  await session.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
  for (const sql of [
    'DELETE FROM approval_decisions WHERE company_id = $1 AND idempotency_key = $2',
    'DELETE FROM idempotent_writes WHERE company_id = $1 AND idempotency_key = $2',
    'UPDATE approval_requests SET closed_at = NULL, approved_by = NULL WHERE company_id = $1 AND idempotency_key = $2',
  ]) {
    await session.query(sql, [company.id, key]);
  }
  await session.query('COMMIT');
  session.release();
}

describe('a write that waits for its approval', () => {
  test('is executed although nobody told its run of the decision', async () => {
    await waiting('untold');
    await approveUntold('untold');
    await until('its outcome', async () => (await stateOf('untold')) === 'succeeded');
    expect(await effectsOf('untold')).toMatchObject({ writes: 1, rows: 1, entries: 1, newAudit: 1, events: 1 });
  });

  test('is executed although somebody has ended its run', async () => {
    await waiting('ended');
    await keyWorkflow(system.temporal, company, 'ended').terminate('by an operator');
    expect(await stateOf('ended')).toBe('pending_approval');
    const approved = await decide(company, 'ended', 'approve');
    expect(approved.json.state).toBe('succeeded');
    expect(await effectsOf('ended')).toMatchObject({ writes: 1, rows: 1, newAudit: 1, events: 1 });
  });

  test('has a run again after its run was lost, before anybody decides', async () => {
    await waiting('lost-run');
    await keyWorkflow(system.temporal, company, 'lost-run').terminate('by an operator');
    await system.owner.query('UPDATE approval_requests SET woken_at = NULL WHERE idempotency_key = $1', ['lost-run']);
    await until('another run', async () => (await statusOf(system.temporal, company, 'lost-run')) === 'RUNNING');
    expect((await decide(company, 'lost-run', 'approve')).json.state).toBe('succeeded');
    expect(await effectsOf('lost-run')).toMatchObject({ writes: 1, rows: 1, newAudit: 1, events: 1 });
  });

  test('expires with a stored answer, and is not executed by an approval that comes later', async () => {
    await waiting('late');
    await expire(system.owner, company, 'late');
    const late = await decide(company, 'late', 'approve');
    expect([late.status, late.json.code]).toEqual([409, 'approval_not_pending']);
    await until('its outcome', async () => (await stateOf('late')) === 'rejected');
    const again = await company.as('accountant').post('/api/payments', paymentBody(invoiceId, 10_000), { key: 'late' });
    expect([again.status, again.json.code, again.replayed]).toEqual([409, 'approval_expired', true]);
    expect(await effectsOf('late')).toMatchObject({ writes: 0, rows: 0, entries: 0, failedAudit: 1, events: 0 });
  });

  test('is asked about anew where a failover has taken the request for its approval', async () => {
    await waiting('taken');
    const session = await system.owner.connect();
    await session.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
    await session.query('DELETE FROM approval_requests WHERE company_id = $1 AND idempotency_key = $2', [
      company.id,
      'taken',
    ]);
    await session.query('COMMIT');
    session.release();
    const again = () =>
      company.as('accountant').post('/api/payments', paymentBody(invoiceId, 10_000), {
        key: 'taken',
        headers: { prefer: 'wait=1' },
      });
    await until('another request', async () => (await again()).json.state === 'pending_approval');
    expect((await decide(company, 'taken', 'approve')).json.state).toBe('succeeded');
    expect(await effectsOf('taken')).toMatchObject({ writes: 1, rows: 1, newAudit: 1, events: 1 });
  });

  test('that a restored database has, though it was answered, is not told as waiting before the runs of keys were listed', async () => {
    await waiting('answered');
    await waiting('waits-on');
    await decide(company, 'answered', 'approve');
    await until('its end', async () => (await statusOf(system.temporal, company, 'answered')) === 'COMPLETED');
    const ask = (key: string) =>
      company
        .as('accountant')
        .post('/api/payments', paymentBody(invoiceId, 10_000), { key, headers: { prefer: 'wait=60' } });
    await restoreToBeforeItsAnswer('answered');
    // The runs of keys are listed a minute after the verification, which is yet to come by the clock of the server.
    await system.owner.query(
      "UPDATE verification SET key_runs_listed = false, key_runs_since = now(), verified_at = now() + interval '1 hour'",
    );
    try {
      // The process looks every two seconds. Temporal alone knows of the answer.
      await until('its state', async () => (await stateOf('answered')) === 'unknown');
      const again = await ask('answered');
      expect([again.status, again.json.code]).toEqual([500, 'write_record_missing']);
      for (const action of ['approve', 'reject'] as const) {
        const decided = await decide(company, 'answered', action);
        expect([decided.status, decided.json.code]).toEqual([409, 'approval_not_pending']);
      }
      const { rows } = await system.owner.query(
        `SELECT r.closed_at, (SELECT count(*)::int FROM approval_decisions d WHERE d.idempotency_key = r.idempotency_key) AS decisions
         FROM approval_requests r WHERE r.idempotency_key = 'answered'`,
      );
      expect(rows).toEqual([{ closed_at: null, decisions: 0 }]);
      expect(await stateOf('waits-on')).toBe('pending_approval');
      expect((await decide(company, 'waits-on', 'approve')).json.state).toBe('succeeded');
    } finally {
      await system.owner.query(
        'UPDATE verification SET key_runs_listed = true, key_runs_since = NULL, verified_at = now()',
      );
    }
  });

  test('says in Temporal what it waits for, and there is no end of its run by cancelling that', async () => {
    await waiting('seen');
    const run = keyWorkflow(system.temporal, company, 'seen');
    await until('its search attribute', async () => {
      const { searchAttributes } = await run.describe();
      return searchAttributes['Outcome']?.[0] === 'pending_approval';
    });
    await run.cancel();
    expect(await statusOf(system.temporal, company, 'seen')).toBe('RUNNING');
    await decide(company, 'seen', 'approve');
    await until('its end', async () => (await statusOf(system.temporal, company, 'seen')) === 'COMPLETED');
    expect((await run.describe()).searchAttributes['Outcome']).toEqual(['succeeded']);
  });
});

/** Each signal is some events in a history that may last for a year. */
describe('a run that waits', () => {
  beforeAll(async () => {
    await waiting('one');
    await waiting('two', FOR_TWO);
  });

  test.each<[key: string, what: string, decidedS: number, wokenS: number, task: string | undefined]>([
    ['one', 'soon after enough approvals', 30, 3_600, 'wake'],
    ['one', 'again when that came to nothing', 300, 250, 'wake'],
    ['one', 'more and more rarely', 3_600, 600, undefined],
    ['two', 'not at once of an approval that does not suffice', 30, 3_600, undefined],
    ['two', 'later of an approval that does not suffice', 300, 3_600, 'wake'],
    ['two', 'rarely of that', 3_600, 1_200, undefined],
  ])('(%s) is told %s', async (key, _, decidedS, wokenS, task) => {
    const session = await system.owner.connect();
    try {
      await session.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
      await session.query(
        `INSERT INTO approval_decisions (company_id, idempotency_key, user_id, requested_by, decision, request_id, roles, decided_at)
         VALUES ($1, $2, $3, $4, 'approved', 'r', '{admin}', clock_timestamp() - make_interval(secs => $5))`,
        [company.id, key, company.users.admin.id, company.users.accountant.id, decidedS],
      );
      await session.query(
        `UPDATE approval_requests SET pending_since = now() - interval '1 day', woken_at = clock_timestamp() - make_interval(secs => $3)
         WHERE company_id = $1 AND idempotency_key = $2`,
        [company.id, key, wokenS],
      );
      const { rows } = await session.query('SELECT task FROM silent_approvals(1000) WHERE idempotency_key = $1', [key]);
      expect(rows.map((row) => row.task)).toEqual(task === undefined ? [] : [task]);
    } finally {
      await session.query('ROLLBACK');
      session.release();
    }
  });
});

describe('the database', () => {
  const asApplication = async (sql: string, values: readonly unknown[]) => {
    const client = await system.owner.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT enter_company($1)', [company.id]);
      return await client.query(sql, [...values]);
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  };

  test('lets nobody decide about what they have asked for, and nobody twice', async () => {
    await waiting('held');
    const insert = `INSERT INTO approval_decisions (company_id, idempotency_key, user_id, requested_by, decision, request_id)
      VALUES ($1, 'held', $2, $3, 'approved', 'r')`;
    const { accountant, admin, owner } = company.users;
    await expect(asApplication(insert, [company.id, accountant.id, accountant.id])).rejects.toThrow(
      'approver_is_requester',
    );
    await expect(asApplication(insert, [company.id, admin.id, owner.id])).rejects.toThrow('foreign key');
    const twice = `${insert}, ($1, 'held', $2, $3, 'rejected', 'r')`;
    await expect(asApplication(twice, [company.id, admin.id, accountant.id])).rejects.toThrow('duplicate key');
  });

  test('calls nothing approved that too few have approved', async () => {
    await waiting('too-few');
    const close = `UPDATE approval_requests SET approved_by = $2, closed_at = now()
      WHERE company_id = $1 AND idempotency_key = 'too-few'`;
    await expect(asApplication(close, [company.id, company.users.admin.id])).rejects.toThrow(
      'approved by enough people',
    );
    await expect(asApplication(close, [company.id, company.users.accountant.id])).rejects.toThrow(
      'approved by enough people',
    );
  });

  test('changes no policy, request or decision', async () => {
    for (const table of ['approval_policies', 'approval_requests', 'approval_decisions']) {
      await expect(asApplication(`DELETE FROM ${table}`, [])).rejects.toThrow('permission denied');
      await expect(system.owner.query(`DELETE FROM ${table}`)).rejects.toThrow('is refused');
      await expect(system.owner.query(`TRUNCATE ${table} CASCADE`)).rejects.toThrow('is refused');
    }
    await expect(system.owner.query("UPDATE approval_requests SET demands = '[{}]'")).rejects.toThrow('is refused');
  });
});
