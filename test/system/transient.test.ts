import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { Tx } from '../../activities/database.ts';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { oneByOne } from '../support/one-by-one.ts';
import { expectOneStory } from '../support/one-story.ts';
import { countRuns, keyWorkflow, statusOf } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';

/** What the next transactions meet once the payment is made and its outcome is not recorded yet: one trouble each. */
const troubles: ((tx: Tx) => Promise<unknown>)[] = [];

const troubled: Operation = {
  ...oneByOne(createPayment),
  async write(tx, input, context) {
    const written = await createPayment.write(tx, input, context);
    await troubles.shift()?.(tx);
    return written;
  },
};

const patient = { prefer: 'wait=60' };

const raise = (sqlState: string) => (tx: Tx) =>
  tx.query(`DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '${sqlState}'; END $$`);

/** As an administrator, or a server that shuts down, ends a session. */
async function endOwnSession(tx: Tx): Promise<void> {
  const [session] = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const superuser = new pg.Client({ connectionString: inject('superuserUrl') });
  await superuser.connect();
  await superuser.query('SELECT pg_terminate_backend($1, 5000)', [session?.pid]);
  await superuser.end();
  await tx.query('SELECT 1');
}

describe('trouble in the database, in the middle of a transaction', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem({
      operations: OPERATIONS.map((operation) => (operation.name === 'createPayment' ? troubled : operation)),
    });
    company = await system.company();
  });
  afterAll(() => system.stop());

  const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });
  const once = { writes: 1, rows: 1, entries: 1, newAudit: 1, replayedAudit: 0, failedAudit: 0, events: 1 };
  const attemptOf = async (key: string) =>
    (await system.owner.query('SELECT attempt FROM idempotent_writes WHERE idempotency_key = $1', [key])).rows[0]
      .attempt;

  test.each([
    ['a connection that fails', '08006', raise('08006')],
    ['a failover that is under way', '25006', raise('25006')],
    ['the idle time-out in a transaction', '25P03', raise('25P03')],
    ['the transaction time-out', '25P04', raise('25P04')],
    ['a serialization failure', '40001', raise('40001')],
    ['a deadlock', '40P01', raise('40P01')],
    ['too many connections', '53300', raise('53300')],
    ['a full disk', '53100', raise('53100')],
    ['the lock time-out', '55P03', raise('55P03')],
    ['the statement time-out', '57014', raise('57014')],
    ['a session ended by an administrator', '57P01', endOwnSession],
    ['a server that crashes', '57P02', raise('57P02')],
    ['a server in recovery', '57P03', raise('57P03')],
    ['the idle time-out of a session', '57P05', raise('57P05')],
    ['an error of its file system', '58030', raise('58030')],
  ])('%s (%s) is attempted again, and the client sees a success', async (_what, sqlState, trouble) => {
    const body = paymentBody(await company.invoice());
    troubles.push(trouble);
    const answer = await company.api.post('/api/payments', body, { key: sqlState, headers: patient });
    expectOneStory([answer], { firsts: 1 });
    expect(troubles).toEqual([]);
    // What meets a lock is made again at once, within its attempt.
    expect(await attemptOf(sqlState)).toBe(sqlState === '55P03' ? 1 : 2);
    expect(await effects(sqlState)).toEqual(once);
    expect(await countRuns(system.temporal, { company, key: sqlState })).toBe(1);
  });

  test('that lasts is attempted again for as long: the client is told 202 and finds the success later', async () => {
    const body = paymentBody(await company.invoice());
    // The pauses double from 100 ms: the last is longer than a workflow task may sleep, and becomes a durable timer.
    troubles.push(...Array.from({ length: 7 }, () => raise('40001')));
    const accepted = await company.api.post('/api/payments', body, { key: 'lasting', headers: { prefer: 'wait=1' } });
    expect(accepted.status).toBe(202);
    await until('the payment', async () => (await effects('lasting')).writes === 1);
    expect(troubles).toEqual([]);
    expectOneStory([await company.api.post('/api/payments', body, { key: 'lasting' })], { firsts: 0 });
    expect(await effects('lasting')).toEqual({ ...once, replayedAudit: 1 });
    expect(await countRuns(system.temporal, { company, key: 'lasting' })).toBe(1);
    const { events } = await keyWorkflow(system.temporal, company, 'lasting').fetchHistory();
    expect(events?.some((event) => event.timerFiredEventAttributes)).toBe(true);
  });

  test('of a kind that no one knows fails the run and leaves nothing, and the same key succeeds later', async () => {
    const body = paymentBody(await company.invoice());
    troubles.push(raise('XX000'));
    const failed = await company.api.post('/api/payments', body, { key: 'unknown', headers: patient });
    expect(failed.status).toBe(500);
    expect(failed.json).toMatchObject({ code: 'write_failed', retryable: true, nextAction: 'retry_same_key' });
    expect(failed.text).not.toMatch(/on purpose|XX000|SQL/);
    expect(await statusOf(system.temporal, company, 'unknown')).toBe('FAILED');
    expect(await effects('unknown')).toEqual({
      ...once,
      writes: 0,
      rows: 0,
      entries: 0,
      newAudit: 0,
      events: 0,
      failedAudit: 1,
    });

    const answer = await company.api.post('/api/payments', body, { key: 'unknown', headers: patient });
    expectOneStory([answer], { firsts: 1 });
    expect(await effects('unknown')).toEqual({ ...once, failedAudit: 1 });
    expect(await countRuns(system.temporal, { company, key: 'unknown', atLeast: 2 })).toBe(2);
  });
});
