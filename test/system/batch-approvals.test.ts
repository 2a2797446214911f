import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { claimChunk, recordChunk } from '../../activities/batches/batch-store.ts';
import { batchIdOf } from '../../activities/batches/identity.ts';
import { openDatabase } from '../../activities/database.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import { APPROVAL_DECIDED, type WriteArguments } from '../../workflows/messages.ts';
import { decide, expire, setPolicies } from '../support/approvals.ts';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { markLost } from '../support/lost-write.ts';
import { keyWorkflow } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';

const LARGE = 10_000;
const NOTHING = {
  ...{ pending: 0, pendingApproval: 0, succeeded: 0, replayed: 0, rejected: 0, mismatched: 0 },
  ...{ refused: 0, failed: 0, cancelled: 0 },
};

let system: System;
let worker: Awaited<ReturnType<typeof startBatchWorker>> | undefined;
let company: Company;
let api: ReturnType<typeof batchClient>;
let invoiceId: string;
beforeAll(async () => {
  system = await startSystem();
  worker = await startBatchWorker(system);
});
beforeEach(async () => {
  company = await system.company();
  // The accountant asks, so that the owner and the admin may approve.
  api = batchClient(system, company, company.users.accountant.token);
  invoiceId = await company.invoice({ total: 100_000_000 });
  await setPolicies(company, [{ operation: 'createPayment', amountFrom: LARGE, approverRoles: ['admin', 'owner'] }]);
});
afterAll(async () => {
  await worker?.close();
  await system.stop();
});

const pay = (key: string, amount = LARGE) => ({ key, body: paymentBody(invoiceId, amount) });
const sent = (key: string) => ({ key, operation: 'createPayment' });
const effects = (key?: string) =>
  countEffects(system.owner, { companyId: company.id, table: 'payments', ...(key === undefined ? {} : { key }) });
const countsOf = async (key: string) => (await api.status(key)).json.counts;
const outcomesOf = async (key: string) =>
  (await api.results(key)).map(({ key: row, outcome, status }) => `${row} ${outcome} ${status}`);

async function completed(key: string, rows: readonly object[]) {
  expect((await api.send(ndjson(rows), sent(key))).status).toBe(202);
  const { json } = await api.over(key);
  expect(json.state).toBe('completed');
  return json;
}

/** Its rows are told as what they are, and none of them is left among those that wait. */
async function expectSettled(key: string, counts: object) {
  expect(await countsOf(key)).toEqual({ ...NOTHING, ...counts });
  const { rows } = await system.owner.query(
    'SELECT count(*)::int AS left FROM batch_approvals WHERE company_id = $1 AND told_at IS NULL',
    [company.id],
  );
  expect(rows).toEqual([{ left: 0 }]);
}

describe('a batch with rows that need an approval', () => {
  test('is completed without them, and tells each as what it becomes', async () => {
    const keys = ['approved', 'rejected', 'cancelled', 'expired'];
    const done = await completed('file', [pay('first', 10), ...keys.map((key) => pay(key)), pay('last', 20)]);
    expect(done).toMatchObject({ counts: { ...NOTHING, succeeded: 2, pendingApproval: 4 }, errors: [] });
    expect(await outcomesOf('file')).toEqual([
      'first succeeded 201',
      ...keys.map((key) => `${key} pending_approval 202`),
      'last succeeded 201',
    ]);
    expect(await effects()).toMatchObject({ rows: 2, newAudit: expect.any(Number), replayedAudit: 0 });

    expect((await decide(company, 'approved', 'approve')).json).toMatchObject({
      ...{ state: 'succeeded', actor: { userId: company.users.accountant.id } },
    });
    expect(await countsOf('file')).toEqual({ ...NOTHING, succeeded: 3, pendingApproval: 3 });
    expect((await decide(company, 'rejected', 'reject')).json.state).toBe('rejected');
    expect((await company.api.send('POST', '/api/writes/cancelled/cancel')).json.state).toBe('cancelled');
    await expire(system.owner, company, 'expired');
    await system.temporal.workflow.getHandle(workflowIdOf(company.id, 'expired')).signal(APPROVAL_DECIDED);
    await until('its time to be over', async () => (await countsOf('file')).pendingApproval === 0);

    await expectSettled('file', { succeeded: 3, rejected: 2, cancelled: 1 });
    expect(await outcomesOf('file')).toEqual([
      ...['first succeeded 201', 'approved succeeded 201', 'rejected rejected 409', 'cancelled cancelled 409'],
      ...['expired rejected 409', 'last succeeded 201'],
    ]);
    const { errors } = (await api.status('file')).json;
    expect(errors.map(({ row, code }: { row: number; code: string }) => [row, code])).toEqual([
      [3, 'approval_rejected'],
      [5, 'approval_expired'],
    ]);
    for (const key of ['first', 'approved', 'last']) {
      expect(await effects(key)).toMatchObject({ rows: 1, entries: 1, newAudit: 1, replayedAudit: 0, events: 1 });
    }
    for (const key of ['rejected', 'cancelled', 'expired']) {
      expect(await effects(key)).toMatchObject({
        rows: 0,
        entries: 0,
        newAudit: 0,
        failedAudit: 1,
        replayedAudit: 0,
        events: 0,
      });
    }
    const again = await api.send(
      ndjson([pay('first', 10), ...keys.map((key) => pay(key)), pay('last', 20)]),
      sent('file'),
    );
    expect([again.status, again.replayed, again.json.counts.succeeded]).toEqual([202, true, 3]);
  });

  test('is told as CSV, and its rows are not tried again with those that failed', async () => {
    await completed('csv', [pay('waits'), { key: 'bad', body: { amount: 'much' } }]);
    const { text } = await api.call('/api/batches/csv/results', { headers: { accept: 'text/csv' } });
    expect(text.split('\r\n')[1]).toBe('1,waits,pending_approval,202,,,,,');
    expect((await api.control('csv', 'cancel')).json.code).toBe('batch_state_conflict');
    expect((await api.control('csv', 'retry-failed')).status).toBe(200);
    expect((await api.over('csv')).json.counts).toEqual({ ...NOTHING, pendingApproval: 1, refused: 1 });
    await decide(company, 'waits', 'approve');
    await expectSettled('csv', { succeeded: 1, refused: 1 });
  });

  test('does not wait for an approval where later rows name the same invoice, in the next chunk either', async () => {
    const rows = Array.from({ length: 510 }, (_, index) => pay(`row-${index}`, index % 170 === 0 ? LARGE : 10));
    const { counts } = await completed('large', rows);
    expect(counts).toEqual({ ...NOTHING, succeeded: 507, pendingApproval: 3 });
    const decided = await Promise.all([0, 170, 340].map((index) => decide(company, `row-${index}`, 'approve')));
    expect(decided.map(({ status }) => status)).toEqual([200, 200, 200]);
    await until('all three', async () => (await countsOf('large')).pendingApproval === 0);
    await expectSettled('large', { succeeded: 510 });
    expect(await effects()).toMatchObject({ rows: 510, replayedAudit: 0, failedAudit: 0 });
  });
});

describe('a row for whose write another request has asked', () => {
  test('waits with it and is a replay of it, with its audit row; another write under the key is a mismatch', async () => {
    expect(
      (await company.as('accountant').post('/api/payments', paymentBody(invoiceId, LARGE), { key: 'same' })).status,
    ).toBe(202);
    expect(
      (await company.as('accountant').post('/api/payments', paymentBody(invoiceId, LARGE), { key: 'other' })).status,
    ).toBe(202);
    expect(
      (await company.as('accountant').post('/api/payments', paymentBody(invoiceId, LARGE), { key: 'gone' })).status,
    ).toBe(202);
    const { counts, errors } = await completed('shared', [
      pay('same'),
      pay('other', LARGE + 1),
      pay('gone'),
      pay('own'),
      pay('own'),
    ]);
    expect(counts).toEqual({ ...NOTHING, pendingApproval: 4, mismatched: 1 });
    expect(errors).toMatchObject([{ row: 2, key: 'other', code: 'idempotency_key_reused', errors: [] }]);
    // A second batch of the same rows waits with the first.
    expect((await completed('again', [pay('own')])).counts).toEqual({ ...NOTHING, pendingApproval: 1 });
    await decide(company, 'same', 'approve');
    await decide(company, 'own', 'approve');
    await company.api.send('POST', '/api/writes/gone/cancel');
    expect(await countsOf('again')).toEqual({ ...NOTHING, replayed: 1 });
    await expectSettled('shared', { succeeded: 1, replayed: 2, mismatched: 1, cancelled: 1 });
    expect(await effects('same')).toMatchObject({ rows: 1, newAudit: 1, replayedAudit: 1, events: 1 });
    expect(await effects('own')).toMatchObject({ rows: 1, newAudit: 1, replayedAudit: 2, events: 1 });
    expect(await effects('other')).toMatchObject({ rows: 0, failedAudit: 1, replayedAudit: 0 });
  });
});

describe('a batch that is cancelled', () => {
  test('leaves the rows that wait for an approval: they are writes of their own', async () => {
    const rows = Array.from({ length: 1_100 }, (_, index) => pay(`row-${index}`, index === 0 ? LARGE : 10));
    await api.send(ndjson(rows), sent('stopped'));
    await until('the first row to wait', async () => (await countsOf('stopped')).pendingApproval === 1);
    const { status } = await api.control('stopped', 'cancel');
    const { json } = await api.over('stopped');
    expect([200, 409]).toContain(status);
    expect(json.counts).toMatchObject({ pending: 0, pendingApproval: 1 });
    await decide(company, 'row-0', 'approve');
    expect(await countsOf('stopped')).toEqual({
      ...json.counts,
      pendingApproval: 0,
      succeeded: json.counts.succeeded + 1,
    });
    const { text } = await api.call('/api/batches/stopped/results?limit=1');
    expect(JSON.parse(text)).toMatchObject({ outcome: 'succeeded', status: 201 });
  });
});

describe('a row whose approval comes before the batch has recorded that it waits', () => {
  test('stays pending, and is looked up again', async () => {
    await worker?.close();
    worker = undefined;
    const { DATABASE_URL: connectionString = '' } = system.environment;
    const database = openDatabase({
      ...{ connectionString, writePoolMax: 2, readPoolMax: 1, statementTimeoutMs: 10_000, applicationName: 'test' },
    });
    onTestFinished(() => database.close());
    const { version } = (await system.owner.query('SELECT version FROM verification')).rows[0];
    await api.send(ndjson([pay('early'), pay('late')]), sent('race'));
    const name = { companyId: company.id, batchId: batchIdOf(company.id, 'race') };
    const claimed = await claimChunk(database.writes, name, { runId: 'run', loop: 1 }, version);
    if (claimed.kind !== 'chunk') throw new Error(`The batch is ${claimed.kind}`);
    for (const key of ['early', 'late']) {
      expect(
        (await company.as('accountant').post('/api/payments', paymentBody(invoiceId, LARGE), { key })).status,
      ).toBe(202);
    }
    await decide(company, 'early', 'approve');
    const approvals = { 0: { key: 'early', audit: null }, 1: { key: 'late', audit: null } };
    const waiting = { outcomes: 'aa', problems: {}, audit: {}, approvals };
    const first = await recordChunk(database.writes, name, claimed.chunk, waiting, version);
    expect(first).toMatchObject({ pending_approval: 1, succeeded: 0 });
    // What it has noted before is not taken for news.
    const second = await recordChunk(database.writes, name, claimed.chunk, { ...waiting, approvals: {} }, version);
    expect(second).toMatchObject({ pending_approval: 1, succeeded: 0 });
    expect(await countsOf('race')).toEqual({ ...NOTHING, pending: 1, pendingApproval: 1 });
    worker = await startBatchWorker(system);
    const { counts } = (await api.over('race')).json;
    expect(counts).toEqual({ ...NOTHING, replayed: 1, pendingApproval: 1 });
    await decide(company, 'late', 'reject');
    await expectSettled('race', { replayed: 1, rejected: 1 });
  });
});

describe('a row whose waiting write was lost', () => {
  test('waits again when it is retried after its key was reopened, and its batch goes on', async () => {
    await completed('restored', [pay('lost'), pay('beside', 10)]);
    await keyWorkflow(system.temporal, company, 'lost').terminate('with the database that had it');
    await markLost(system.owner, await argumentsOf('lost'), workflowIdOf(company.id, 'lost'));
    expect(await countsOf('restored')).toEqual({ ...NOTHING, succeeded: 1, failed: 1 });

    for (const round of [1, 2]) {
      await reopened('lost');
      expect((await api.control('restored', 'retry-failed')).status).toBe(200);
      expect((await api.over('restored')).json.counts).toEqual({ ...NOTHING, succeeded: 1, pendingApproval: 1 });
      if (round === 2) break;
      await keyWorkflow(system.temporal, company, 'lost').terminate('once more');
      await markLost(system.owner, await argumentsOf('lost'), workflowIdOf(company.id, 'lost'));
    }
    await decide(company, 'lost', 'approve');
    await expectSettled('restored', { succeeded: 2 });
    expect(await effects('lost')).toMatchObject({ rows: 1, entries: 1, newAudit: 1, replayedAudit: 0, events: 1 });
  });

  async function argumentsOf(key: string): Promise<WriteArguments> {
    const { rows } = await system.owner.query(
      'SELECT arguments FROM approval_requests WHERE company_id = $1 AND idempotency_key = $2',
      [company.id, key],
    );
    return rows[0].arguments;
  }

  /** As an operator does it. */
  async function reopened(key: string): Promise<void> {
    const session = await system.owner.connect();
    await session.query('BEGIN');
    await session.query('SELECT enter_company($1), remove_lost_write($1, $2)', [company.id, key]);
    await session.query('COMMIT');
    session.release();
  }
});

describe('the database', () => {
  test('refuses that a row which waits is forgotten, and that a request ends without an outcome', async () => {
    await completed('kept', [pay('kept')]);
    const as = (sql: string) => system.owner.query(sql, [company.id]);
    await expect(as("UPDATE batch_chunks SET outcomes = '.', pending = 1 WHERE company_id = $1")).rejects.toMatchObject(
      { code: '23001' },
    );
    await expect(as('UPDATE approval_requests SET closed_at = now() WHERE company_id = $1')).rejects.toMatchObject({
      constraint: 'approval_closed_with_outcome',
    });
    await expect(as('UPDATE batch_waiting_rows SET waiting = 0 WHERE company_id = $1')).rejects.toMatchObject({
      constraint: 'batches_completed',
    });
  });
});
