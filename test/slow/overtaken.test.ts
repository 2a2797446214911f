import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { openDatabase } from '../../activities/database.ts';
import { writeId } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { runAlone } from '../../activities/write/run-alone.ts';
import { hasEnded } from '../../activities/write/run-operation.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { inForm } from '../support/form.ts';
import { holdInvoice, until, untilWaiting } from '../support/held-invoice.ts';
import { expectOneStory } from '../support/one-story.ts';
import { untilFinal } from '../support/persistent.ts';
import { startApiProcess, startWorkerProcess } from '../support/processes.ts';
import { countRuns } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';
import { writeArguments } from '../support/write-arguments.ts';

let system: System;
let company: Company;
beforeAll(async () => {
  // Longer than an attempt may take by its workflow, so that one can be overtaken by the next while it still runs.
  system = await startSystem({ environment: { STATEMENT_TIMEOUT_MS: '60000' } });
  company = await system.company();
});
afterAll(() => system.stop());

const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });
const once = { writes: 1, rows: 1, entries: 1, newAudit: 1, failedAudit: 0, events: 1 };

/** As many as make twins meet at every unique key of the row, which two seldom do. */
const ATTEMPTS = 12;
const ROUNDS = inForm({ short: 6, long: 40 });

describe('attempts of one write that run at once', () => {
  test.each([
    ['of one submission', true],
    ['of two submissions', false],
  ])('%s see one outcome, made once', async (_what, isOneSubmission) => {
    const database = openDatabase({
      connectionString: system.environment['DATABASE_URL'] ?? '',
      writePoolMax: ATTEMPTS,
      readPoolMax: 1,
      statementTimeoutMs: 10_000,
      applicationName: 'test-attempts',
    });
    try {
      for (let round = 0; round < ROUNDS; round += 1) {
        const key = randomUUID();
        const args = writeArguments(company, createPayment, paymentBody(await company.invoice()), key);
        const facts = {
          writeId: writeId(company.id, 'createPayment', key),
          requestedAt: new Date().toISOString(),
          workflowId: 'a-test',
          attempt: 1,
        };
        const attempts = await Promise.all(
          Array.from({ length: ATTEMPTS }, async (_, index) => {
            const submissionId = isOneSubmission || index % 2 === 0 ? args.submissionId : randomUUID();
            const end = await runAlone(
              { database, operations: OPERATIONS },
              { ...args, submissionId },
              facts,
              () => undefined,
              true,
            );
            if (!hasEnded(end)) throw new Error('It waits for an approval');
            return { submissionId, ...end };
          }),
        );
        const one = attempts[0]?.row;
        for (const { row, result, submissionId } of attempts) {
          expect(row?.response_body.equals(one?.response_body ?? Buffer.of())).toBe(true);
          expect(result).toMatchObject({ outcome: 'succeeded', statusCode: 201, writeId: one?.write_id });
          // The first answer is that of the submission that stands in the row, whichever of its attempts tells it.
          expect(result.first).toBe(submissionId === one?.submission_id);
        }
        const submissions = isOneSubmission ? [args.submissionId] : attempts.map(({ submissionId }) => submissionId);
        expect(submissions).toContain(one?.submission_id);
        expect(await effects(key)).toMatchObject(once);
      }
    } finally {
      await database.close();
    }
  });

  test('one overtaken by the next, still running: the client gets the one outcome', async () => {
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const first = company.api.post('/api/payments', body, { key: 'overtaken', headers: { prefer: 'wait=60' } });
    // The first waits for the invoice; its workflow gives it up after 15 s, and the second waits at the key's row.
    await untilWaiting(system.owner, 2);
    await held.release();
    expectOneStory([await first, await company.api.post('/api/payments', body, { key: 'overtaken' })], { firsts: 1 });
    expect(await effects('overtaken')).toMatchObject({ ...once, replayedAudit: 1 });
    expect(await countRuns(system.temporal, { company, key: 'overtaken' })).toBe(1);
  });
});

describe.each(inForm({ short: [], long: ['off', 'on'] }))(
  'a process that stalls for 10 s in a storm, grouping %s,',
  (grouping) => {
    const CLIENTS = 16;
    const STORM = 200;

    test('costs neither a second write nor a cascade of attempts', { timeout: 180_000 }, async () => {
      const own = await startSystem();
      try {
        await countFunctionCalls(own);
        const asking = await own.company();
        const stalled = await startApiProcess({ ...own.environment, WRITE_GROUPING: grouping });
        const worker = await startWorkerProcess(own.environment);
        const client = asking.as('owner', stalled.url);
        let begun = 0;
        let answered = 0;
        const clientRun = async () => {
          while (begun < STORM) {
            begun += 1;
            const body = { name: `Customer ${begun}` };
            const send = { key: randomUUID(), headers: { prefer: 'wait=60' } };
            const { final } = await untilFinal(() => client.post('/api/customers', body, send));
            expectOneStory([final]);
            answered += 1;
          }
        };
        const clients = Array.from({ length: CLIENTS }, clientRun);
        await until('half of the answers', async () => answered >= STORM / 2);
        stalled.freeze();
        await sleep(3_000);
        const { count: open } = await own.temporal.workflow.count(
          `TaskQueue = '${own.environment['TEMPORAL_TASK_QUEUE']}' AND ExecutionStatus = 'Running'`,
        );
        await sleep(7_500);
        stalled.thaw();
        await Promise.all(clients);
        expect(answered).toBe(STORM);
        // Sessions tell what they did when they end.
        expect(await Promise.all([stalled.terminate(), worker.terminate()])).toEqual([0, 0]);
        // What was in flight is made again by the worker, once: a request of each client, and runs not yet closed behind them.
        const inFlight = CLIENTS + open * (grouping === 'on' ? CLIENTS : 1);
        expect(await claims(own)).toBeLessThanOrEqual(STORM + inFlight);
        expect(await countEffects(own.owner, { companyId: asking.id, table: 'customers' })).toMatchObject({
          writes: STORM,
          rows: STORM,
          newAudit: STORM,
          failedAudit: 0,
          events: STORM,
        });
      } finally {
        await own.stop();
      }
    });

    /** Each transaction of a write calls `claim_write` once. */
    async function claims({ owner }: System): Promise<number> {
      const { rows } = await owner.query(
        "SELECT calls::int AS calls FROM pg_stat_user_functions WHERE funcname = 'claim_write'",
      );
      return rows[0]?.calls ?? 0;
    }

    async function countFunctionCalls({ owner }: System): Promise<void> {
      const { rows } = await owner.query('SELECT current_database() AS name');
      const superuser = new pg.Client({ connectionString: inject('superuserUrl') });
      await superuser.connect();
      await superuser.query(`ALTER DATABASE ${rows[0].name} SET track_functions = 'pl'`);
      await superuser.end();
    }
  },
);
