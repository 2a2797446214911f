import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Database } from '../../activities/database.ts';
import type { Operation } from '../../activities/operation.ts';
import { approvePayRun } from '../../activities/operations/approve-pay-run.ts';
import { createPayRun } from '../../activities/operations/create-pay-run.ts';
import { importBankTransactions } from '../../activities/operations/import-bank-transactions.ts';
import { unreconcileBankTransaction } from '../../activities/operations/unreconcile-bank-transaction.ts';
import { voidPayRun } from '../../activities/operations/void-pay-run.ts';
import { bankLine, bankRow, bankTransaction, matching, reconciledBankTransaction } from '../support/bank.ts';
import type { Company } from '../support/companies.ts';
import { until, untilWaiting } from '../support/held-invoice.ts';
import { hold, untilHeld } from '../support/held-operation.ts';
import { hire, payRun, payRunBody } from '../support/payroll.ts';
import { playClosing } from '../support/play-closing.ts';
import { startRelay } from '../support/relay.ts';
import { openPatientDatabase, runHeld } from '../support/run-held.ts';
import { type System, startSystem } from '../support/system.ts';

const THROUGH = '2026-02-28';

let system: System;
let relay: Awaited<ReturnType<typeof startRelay>>;
let patient: Database;
beforeAll(async () => {
  system = await startSystem();
  relay = await startRelay(system);
  patient = openPatientDatabase(system);
});
afterAll(async () => {
  await relay.close();
  await patient.close();
  await system.stop();
});

const settingsOf = async (company: Company) => (await company.api.get('/api/company/settings')).json;

function change(company: Company, body: object, key: string = randomUUID()) {
  return company.api.post('/api/company/settings', body, { method: 'PATCH', key });
}

async function triggered(company: Company) {
  const trigger = await company.api.created('/api/workflows/closeMonth/trigger', { payload: { through: THROUGH } });
  return async () => (await company.api.get(`/api/workflows/triggers/${trigger.id}`)).json.result;
}

describe('a change of the settings with requireFinished', () => {
  test('closes the books only when each step through that day is done', async () => {
    const company = await system.company();
    await hire(company);
    const run = await payRun(company);
    await payRun(company, { periodNumber: 2, payDate: '2026-02-27', asDraft: true });
    const { items } = await company.api.created('/api/bank-transactions/import', {
      transactions: [bankRow(100), bankRow(200)],
    });
    const closing = { expectedVersion: 1, booksClosedThrough: THROUGH, requireFinished: true, name: 'Closed Ltd' };
    const refused = await change(company, closing);
    expect([refused.status, refused.json]).toMatchObject([
      409,
      {
        code: 'month_not_finished',
        detail:
          `Not every bank transaction up to and including ${THROUGH} is reconciled: 2 left. ` +
          `Not every approved pay run with a pay date up to and including ${THROUGH} is executed: 1 left.`,
        errors: [{ in: 'body', pointer: '/booksClosedThrough' }],
        nextAction: 'use_new_key',
      },
    ]);
    expect(await settingsOf(company)).toMatchObject({ version: 1, booksClosedThrough: null });
    // Through a day before all of that, it is done.
    await company.api.created(
      '/api/company/settings',
      { ...closing, booksClosedThrough: '2026-01-29' },
      { method: 'PATCH' },
    );
    await company.api.created(`/api/payroll/pay-runs/${run.id}/execute`, {});
    for (const { id } of items) {
      const { amount } = (await company.api.get(`/api/bank-transactions/${id}`)).json;
      const { lineId } = await bankLine(company.api, amount);
      await company.api.created(`/api/ledger/reconcile/${id}`, matching(lineId));
    }
    const closed = await change(company, { ...closing, expectedVersion: 2, name: 'Really Closed Ltd' }, 'done');
    expect([closed.status, closed.json]).toMatchObject([200, { version: 3, booksClosedThrough: THROUGH }]);
    expect(closed.json).not.toHaveProperty('requireFinished');
    const { rows } = await system.owner.query(
      `SELECT metadata -> 'changed' AS changed FROM idempotent_write_audit_log
       WHERE company_id = $1 AND idempotency_key = 'done'`,
      [company.id],
    );
    expect(rows).toEqual([{ changed: ['name', 'booksClosedThrough'] }]);
  });

  test('asks nothing without the member, or with false', async () => {
    const company = await system.company();
    await bankTransaction(company.api, 500);
    const closing = { booksClosedThrough: THROUGH, requireFinished: false };
    expect((await change(company, { ...closing, expectedVersion: 1 })).status).toBe(200);
    const later = { expectedVersion: 2, booksClosedThrough: '2026-03-01' };
    expect((await change(company, later)).status).toBe(200);
  });

  test.each([{}, { booksClosedThrough: null, reopenReason: 'Late' }])('needs a day: %o', async (more) => {
    const company = await system.company();
    const answer = await change(company, { expectedVersion: 1, requireFinished: true, ...more });
    expect([answer.status, answer.json.code]).toEqual([422, 'validation_failed']);
    expect(answer.json.errors).toMatchObject([{ in: 'body', pointer: '/requireFinished' }]);
  });
});

describe('what is committed between the check and the closing keeps the month open, and is named', () => {
  const AFTER_THE_CHECK: Readonly<Record<string, (company: Company) => Promise<string>>> = {
    'a pay run that is approved at once': async (company) => `/api/payroll/pay-runs/${(await payRun(company)).id}`,
    'a bank transaction': async (company) => `/api/bank-transactions/${await bankTransaction(company.api, 500)}`,
  };

  test.each(Object.entries(AFTER_THE_CHECK))('%s', async (_, make) => {
    const company = await system.company();
    await hire(company);
    const session = await system.owner.connect();
    onTestFinished(async () => {
      await session.query('ROLLBACK');
      session.release();
    });
    // The closing write waits for the company's row; what holds it FOR SHARE, like this session, goes on.
    await session.query('BEGIN');
    await session.query('SELECT FROM companies WHERE id = $1 FOR SHARE', [company.id]);
    const result = await triggered(company);
    await untilWaiting(system.owner, 1);
    const made = await make(company);
    await session.query('COMMIT');
    await until('a result', async () => (await result()) !== null);
    expect(await result()).toMatchObject({ closed: false, failed: [{ resources: [made] }] });
    expect(await settingsOf(company)).toMatchObject({ booksClosedThrough: null });
  });
});

describe('after three attempts, the workflow checks once more', () => {
  const done = { through: THROUGH, settingsVersion: 1, alreadyClosed: false, faults: [], failed: [] };
  const conflict = () => ({ outcome: 'rejected', statusCode: 409, writeId: null, first: true }) as const;

  test('and says what happened when nothing is in the way', async () => {
    const { closed, kept, writes, checks } = await playClosing({ check: () => done, write: conflict });
    expect([closed.closed, checks]).toEqual([false, 4]);
    expect(writes.map(({ step }) => step)).toEqual(['close-1', 'close-2', 'close-3']);
    const body = { expectedVersion: 1, booksClosedThrough: THROUGH, requireFinished: true };
    expect(writes.map((write) => write.body)).toEqual([body, body, body]);
    expect(kept).toMatchObject([
      {
        failed: [
          {
            control: 'settings-changed',
            detail:
              'During each of 3 attempts, others changed the settings or left a step of closing undone: trigger the workflow again.',
            resources: ['/api/writes/trigger:played:close-3'],
          },
        ],
      },
    ]);
  });

  test('and names what is in the way', async () => {
    const left = { ...done, faults: ['A step is left'] };
    const { kept } = await playClosing({ check: (before) => (before < 3 ? done : left), write: conflict });
    expect(kept).toMatchObject([{ closed: false, failed: [] }]);
  });

  test('and learns that others have closed them', async () => {
    const { kept } = await playClosing({
      check: (before) => ({ ...done, alreadyClosed: before === 3 }),
      write: conflict,
    });
    expect(kept).toEqual([{ closed: true, through: THROUGH }]);
  });
});

describe('the closing waits for what leaves a step undone, and then sees it:', () => {
  type Held = { operation: Operation; body: object; params?: Readonly<Record<string, string>> };
  const BEFORE_ITS_COMMIT: Readonly<Record<string, (company: Company) => Promise<Held>>> = {
    createPayRun: async () => ({ operation: createPayRun, body: payRunBody() }),
    approvePayRun: async (company) => {
      const { id } = await payRun(company, { asDraft: true });
      return { operation: approvePayRun, body: {}, params: { payRunId: id } };
    },
    // Of two runs of one period, the other can be executed once the first is voided.
    voidPayRun: async (company) => {
      const { id } = await payRun(company);
      await payRun(company);
      await company.api.created(`/api/payroll/pay-runs/${id}/execute`, {});
      return { operation: voidPayRun, body: { reason: 'A mistake', date: '2026-03-02' }, params: { payRunId: id } };
    },
    importBankTransactions: async () => ({
      operation: importBankTransactions,
      body: { transactions: [bankRow(500)] },
    }),
    unreconcileBankTransaction: async (company) => ({
      operation: unreconcileBankTransaction,
      body: { reason: 'The wrong line' },
      params: { bankTransactionId: await reconciledBankTransaction(company.api) },
    }),
  };

  test.each(Object.entries(BEFORE_ITS_COMMIT))('%s', async (_, prepare) => {
    const company = await system.company();
    await hire(company);
    const { operation, body, params } = await prepare(company);
    const release = await hold(system.owner);
    const running = runHeld(patient, company, operation, { body, ...(params && { params }) });
    await untilHeld(system.owner);
    const result = await triggered(company);
    const waits = async () => (await waitingForRow()) > 0;
    await until('the closing to wait or to end', async () => (await waits()) || (await result()) !== null);
    await release();
    expect((await running).result.outcome).toBe('succeeded');
    await until('a result', async () => (await result()) !== null);
    expect(await result()).toMatchObject({ closed: false, failed: [{ resources: [expect.any(String)] }] });
    expect(await settingsOf(company)).toMatchObject({ booksClosedThrough: null });
  });

  /** Sessions that wait for another transaction to end, which is how PostgreSQL waits for a row. */
  async function waitingForRow(): Promise<number> {
    const { rows } = await system.owner.query(
      `SELECT count(*)::int AS waiting FROM pg_locks l JOIN pg_stat_activity a USING (pid)
       WHERE NOT l.granted AND l.locktype IN ('transactionid', 'tuple') AND a.datname = current_database()`,
    );
    return rows[0].waiting;
  }
});
