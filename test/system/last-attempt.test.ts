import { randomUUID } from 'node:crypto';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../activities/database.ts';
import { DAY_MS } from '../../activities/durations.ts';
import { TransientFailure } from '../../activities/failures.ts';
import { fingerprint, workflowIdOf } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { createWriteActivities } from '../../activities/write/activities.ts';
import type { PendingResult, RunResult, WriteArguments } from '../../workflows/messages.ts';
import { cloneDatabase, type TestDatabase } from '../support/database.ts';
import { oneByOne } from '../support/one-by-one.ts';
import { trustOf } from '../support/trusted-fence.ts';

/** What the activity tells Temporal, and what it leaves, by how old its run is: a day cannot be waited for. */
describe('an attempt that fails for now', () => {
  let clone: TestDatabase;
  let database: Database;
  let companyId: string;
  let userId: string;
  beforeAll(async () => {
    clone = await cloneDatabase();
    database = openDatabase({
      connectionString: clone.appUrl,
      writePoolMax: 2,
      readPoolMax: 2,
      statementTimeoutMs: 5_000,
      applicationName: 'test',
    });
    const { rows } = await clone.owner.query("SELECT * FROM create_company('Test Ltd', 'owner@example.test', 'USD')");
    companyId = rows[0].company_id;
    userId = rows[0].user_id;
  });
  afterAll(async () => {
    await database.close();
    await clone.drop();
  });

  const failing: Operation = {
    ...oneByOne(createCustomer),
    write: () => Promise.reject(new TransientFailure('not now', { mayHaveCommitted: false })),
  };

  async function attempt(
    args: WriteArguments,
    runAgeMs: number,
    operation = failing,
    approvedAgeMs?: number,
  ): Promise<RunResult | PendingResult> {
    const activities = createWriteActivities({
      database,
      operations: [operation],
      fence: await trustOf(clone.owner),
      onOutcome: () => undefined,
      onPending: () => undefined,
      onFailedAttempt: () => undefined,
      onUngrouped: () => undefined,
      onLockWait: () => undefined,
      onSet: () => undefined,
      onFailedSet: () => undefined,
      onRefused: () => undefined,
    });
    const ago = (ms: number) => new Date(Date.now() - ms).toISOString();
    const facts = {
      requestedAt: ago(runAgeMs),
      ...(approvedAgeMs === undefined ? {} : { attemptsSince: ago(approvedAgeMs) }),
    };
    const workflowExecution = { workflowId: workflowIdOf(args.companyId, args.key), runId: randomUUID() };
    return new MockActivityEnvironment({ attempt: 7, workflowExecution }, { logger: new DefaultLogger('ERROR') }).run(
      activities.runOperation,
      args,
      facts,
    );
  }

  function argumentsOf(key: string): WriteArguments {
    const input = { params: {}, body: { name: 'Customer', currency: 'USD' } };
    return {
      operation: 'createCustomer',
      companyId,
      key,
      input,
      fingerprint: fingerprint('createCustomer', input),
      schemaVersion: 1,
      policy: {
        startToCloseMs: 15_000,
        scheduleToCloseMs: DAY_MS,
        initialIntervalMs: 100,
        backoffCoefficient: 2,
        maximumIntervalMs: 30_000,
        localRetryThresholdMs: 5_000,
      },
      actor: { userId },
      request: { id: 'request-1', method: 'POST', path: '/api/customers' },
      submissionId: randomUUID(),
    };
  }

  async function failedRuns(key: string): Promise<string[]> {
    const { rows } = await clone.owner.query(
      'SELECT status, error_code FROM idempotent_write_audit_log WHERE company_id = $1 AND idempotency_key = $2',
      [companyId, key],
    );
    return rows.map((row) => `${row.status} ${row.error_code}`);
  }

  test('is to be made again, and leaves no word in the audit log', async () => {
    const failure = await attempt(argumentsOf('again'), 1_000).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ApplicationFailure);
    expect(failure).toMatchObject({ type: 'RolledBack', nonRetryable: false });
    expect(await failedRuns('again')).toEqual([]);
  });

  test('leaves its failed run in the audit log when a day of attempts is over', async () => {
    const failure = await attempt(argumentsOf('over'), DAY_MS - 10_000).catch((error: unknown) => error);
    expect(failure).toMatchObject({ type: 'RolledBack' });
    expect(await failedRuns('over')).toEqual(['failed write_failed']);
  });

  test('is to be made again although its write has waited for days to be approved', async () => {
    const failure = await attempt(argumentsOf('approved'), 3 * DAY_MS, failing, 1_000).catch((error: unknown) => error);
    expect(failure).toMatchObject({ type: 'RolledBack', nonRetryable: false });
    expect(await failedRuns('approved')).toEqual([]);
    await attempt(argumentsOf('approved'), 3 * DAY_MS, failing, DAY_MS - 10_000).catch((error: unknown) => error);
    expect(await failedRuns('approved')).toEqual(['failed write_failed']);
  });

  test('is made again while the audit row of its failed run cannot be written, even where it failed by a bug', async () => {
    const bug: Operation = {
      ...oneByOne(createCustomer),
      write: () => Promise.reject(new TypeError('A bug of the test')),
    };
    await clone.owner.query(
      "ALTER TABLE idempotent_write_audit_log ADD CONSTRAINT no_failure CHECK (status <> 'failed') NOT VALID",
    );
    const failure = await attempt(argumentsOf('unwritten'), 1_000, bug).catch((error: unknown) => error);
    expect(failure).toMatchObject({ type: 'RolledBack', nonRetryable: false });
    await clone.owner.query('ALTER TABLE idempotent_write_audit_log DROP CONSTRAINT no_failure');
    const mended = await attempt(argumentsOf('unwritten'), 1_000, bug).catch((error: unknown) => error);
    expect(mended).toMatchObject({ type: 'Bug', nonRetryable: true });
    expect(await failedRuns('unwritten')).toEqual(['failed write_failed']);
  });

  test('its audit row says how long the run took, from its start and with all of its attempts', async () => {
    const bug: Operation = {
      ...oneByOne(createCustomer),
      write: () => Promise.reject(new TypeError('A bug of the test')),
    };
    const durationMs = async (key: string, runAgeMs: number) => {
      const sinceMs = Date.now();
      await attempt(argumentsOf(key), runAgeMs, bug).catch((error: unknown) => error);
      const tookMs = Date.now() - sinceMs;
      const { rows } = await clone.owner.query(
        `SELECT execution_duration_ms AS ms FROM idempotent_write_audit_log
         WHERE company_id = $1 AND idempotency_key = $2 AND error_code = 'write_failed'`,
        [companyId, key],
      );
      return { ms: rows[0].ms, tookMs };
    };
    const old = await durationMs('an-hour', 3_600_000);
    expect(old.ms).toBeGreaterThanOrEqual(3_600_000);
    expect(old.ms).toBeLessThanOrEqual(3_600_000 + old.tookMs);
    // The run's start is by Temporal's clock, which may be ahead of this process's.
    expect((await durationMs('clock-ahead', -60_000)).ms).toBe(0);
  });

  test('says that only the row can tell when it was lost at COMMIT', async () => {
    const lost: Operation = {
      ...oneByOne(createCustomer),
      write: () => Promise.reject(new TransientFailure('lost', { mayHaveCommitted: true })),
    };
    const failure = await attempt(argumentsOf('lost'), 1_000, lost).catch((error: unknown) => error);
    expect(failure).toMatchObject({ type: 'CommitUnknown', nonRetryable: false });
  });

  test('after another request took its key is told as a mismatch, and not as the outcome of that one', async () => {
    const first = argumentsOf('taken');
    const input = { params: {}, body: { name: 'Another', currency: 'USD' } };
    const other = { ...argumentsOf('taken'), input, fingerprint: fingerprint('createCustomer', input) };
    const made = await attempt(first, 1_000, oneByOne(createCustomer));
    expect(made).toMatchObject({ outcome: 'succeeded', first: true });
    expect(await attempt(other, 1_000, oneByOne(createCustomer))).toEqual({
      outcome: 'mismatch',
      statusCode: 422,
      writeId: made.writeId,
      first: false,
    });
  });

  test('is followed by one that succeeds, and that tells which attempt it was', async () => {
    const result = await attempt(argumentsOf('then'), 1_000, createCustomer);
    expect(result).toMatchObject({ outcome: 'succeeded', statusCode: 201, first: true });
    const { rows } = await clone.owner.query(
      'SELECT attempt FROM idempotent_writes WHERE company_id = $1 AND idempotency_key = $2',
      [companyId, 'then'],
    );
    expect(rows).toEqual([{ attempt: 7 }]);
  });
});
