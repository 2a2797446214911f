import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { batchIdOf, batchWorkflowId } from '../../activities/batches/identity.ts';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { holdInvoice, until, untilWaiting } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';

describe('a batch whose workflow is lost', () => {
  let system: System;
  let workers: Awaited<ReturnType<typeof startBatchWorker>>[];
  let company: Company;
  let api: ReturnType<typeof batchClient>;
  beforeAll(async () => {
    system = await startSystem();
    // What one of them has begun goes on in either.
    workers = [await startBatchWorker(system), await startBatchWorker(system)];
  });
  beforeEach(async () => {
    company = await system.company();
    api = batchClient(system, company);
  });
  afterAll(async () => {
    await Promise.all(workers.map((worker) => worker.close()));
    await system.stop();
  });

  /** Two chunks. */
  const ROWS = 510;
  const ROWS_OF_INVOICE = 50;
  const effects = () => countEffects(system.owner, { companyId: company.id, table: 'payments' });
  /** As after 30 seconds without a word of it. */
  const forget = () => system.owner.query('UPDATE batches SET woken_at = NULL WHERE company_id = $1', [company.id]);

  /** Sends a batch whose first row waits in its transaction. */
  async function sendHeld(count = ROWS) {
    const invoices: string[] = [];
    for (let index = 0; index < count; index += ROWS_OF_INVOICE) invoices.push(await company.invoice());
    const held = await holdInvoice(system.owner, invoices[0] ?? '');
    const rows = Array.from({ length: count }, (_, index) => ({
      body: paymentBody(invoices[Math.floor(index / ROWS_OF_INVOICE)] ?? '', 100 + index),
    }));
    await api.send(ndjson(rows), { key: 'lost', operation: 'createPayment' });
    await untilWaiting(system.owner, 1);
    return held;
  }

  async function expectWhole(count = ROWS) {
    expect((await api.over('lost')).json).toMatchObject({
      state: 'completed',
      counts: { succeeded: count, replayed: 0, failed: 0, pending: 0 },
    });
    expect(await effects()).toMatchObject({
      rows: count,
      entries: expect.any(Number),
      replayedAudit: 0,
      failedAudit: 0,
    });
    const { rows } = await system.owner.query(
      "SELECT count(*)::int AS audited FROM idempotent_write_audit_log WHERE company_id = $1 AND operation_name = 'createPayment'",
      [company.id],
    );
    expect(rows).toEqual([{ audited: count }]);
  }

  test.each(['terminated', 'deleted'])('since it was %s, goes on in another run, each row once', async (how) => {
    const held = await sendHeld();
    const workflowId = batchWorkflowId(company.id, 'lost');
    const { runId } = await system.temporal.workflow.getHandle(workflowId).describe();
    await system.temporal.workflow.getHandle(workflowId).terminate('A test');
    const execution = { workflowId, runId };
    if (how === 'deleted') {
      await system.temporal.workflowService.deleteWorkflowExecution({
        namespace: 'default',
        workflowExecution: execution,
      });
    }
    await forget();
    await until('another run', async () => {
      const found = await system.temporal.workflow
        .getHandle(workflowId)
        .describe()
        .catch(() => undefined);
      return found !== undefined && found.runId !== runId;
    });
    await held.release();
    await expectWhole();
  });

  test('with each of its groups, is written all the same', async () => {
    const held = await sendHeld();
    const groups = system.temporal.workflow.list({
      query: `TaskQueue = '${system.environment['TEMPORAL_TASK_QUEUE']}-batches' AND ExecutionStatus = 'Running'`,
    });
    for await (const { workflowId } of groups) {
      await system.temporal.workflow
        .getHandle(workflowId)
        .terminate('A test')
        .catch(() => undefined);
    }
    await held.release();
    await forget();
    await expectWhole();
  });

  test('as the signals are of a pause and of its end, goes on', async () => {
    // One or two of three chunks are begun by then.
    const count = 1_010;
    const held = await sendHeld(count);
    const { rows } = await system.owner.query('SELECT version FROM verification');
    const control = (action: string) =>
      system.owner.query('SELECT changed FROM control_batch($1, $2, $3, $4)', [
        company.id,
        batchIdOf(company.id, 'lost'),
        action,
        rows[0].version,
      ]);
    // Nobody tells the workflow.
    expect((await control('pause')).rows).toEqual([{ changed: true }]);
    await held.release();
    await until('what was begun to end', async () => {
      const { json } = await api.status('lost');
      return json.state === 'paused' && json.counts.succeeded > 0 && json.counts.pending % 500 === 10;
    });
    expect((await control('resume')).rows).toEqual([{ changed: true }]);
    await expectWhole(count);
  });
});
