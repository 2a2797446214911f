import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { workflowIdOf } from '../../activities/identity.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { type GroupItem, type GroupResult, memoOf } from '../../workflows/messages.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { carrierOf, type Groups, startGroups } from '../support/groups.ts';
import { holdInvoice, until, untilWaiting } from '../support/held-invoice.ts';
import { expectOneStory } from '../support/one-story.ts';
import { untilFinal } from '../support/persistent.ts';
import { keyWorkflow, statusOf } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';
import { writeArguments } from '../support/write-arguments.ts';

describe('a write that gets no outcome in its group', () => {
  let groups: Groups;
  let system: System;
  let company: Company;
  beforeAll(async () => {
    groups = await startGroups();
    // A lock is waited for half of this long; then the attempt has failed for the moment.
    system = await startSystem({ environment: { ...groups.environment, STATEMENT_TIMEOUT_MS: '2000' } });
    company = await system.company();
  });
  afterAll(async () => {
    await system.stop();
    await groups.close();
  });

  const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });
  const once = { writes: 1, rows: 1, entries: 1, newAudit: 1, failedAudit: 0, events: 1 };

  function itemOf(key: string, invoiceId: string): GroupItem {
    const args = writeArguments(company, createPayment, paymentBody(invoiceId), key);
    return { args, workflowId: workflowIdOf(company.id, key), summary: `Payment of ${key}` };
  }

  /** A group that no process waits for. */
  async function runGroup(items: readonly GroupItem[]): Promise<GroupResult> {
    const run = await system.temporal.workflow.start<(items: readonly GroupItem[]) => Promise<GroupResult>>(
      'writeGroup',
      {
        workflowId: `group:${randomUUID()}`,
        taskQueue: system.environment['TEMPORAL_TASK_QUEUE'] ?? '',
        args: [items],
      },
    );
    return run.result();
  }

  test('goes on in a workflow of its own, as the API would have started it, and needs no client', async () => {
    const stuck = itemOf('stuck', await company.invoice());
    const good = itemOf('good', await company.invoice());
    const held = await holdInvoice(system.owner, String(stuck.args.input.body['invoiceId']));
    const { left } = await runGroup([good, stuck]);
    expect(left).toEqual([{ index: 1, runId: expect.any(String) }]);
    expect(await effects('good')).toMatchObject(once);
    expect(await carrierOf(system.owner, company, 'good')).toMatch(/^group:/);

    const run = await keyWorkflow(system.temporal, company, 'stuck').describe();
    expect([run.status.name, run.runId]).toEqual(['RUNNING', left[0]?.runId]);
    expect(run.memo).toEqual(memoOf(stuck.args));
    expect(await run.staticSummary()).toBe('Payment of stuck');
    const attributes = Object.fromEntries(
      run.typedSearchAttributes.getAll().map(({ key: { name }, value }) => [name, value]),
    );
    expect(attributes).toMatchObject({ CompanyId: company.id, Operation: 'createPayment', IdempotencyKey: 'stuck' });
    // Another group with the same write meets that run, and starts none.
    expect(await runGroup([stuck])).toEqual({ left: [{ index: 0, runId: null }] });

    await held.release();
    await until('its end', async () => (await statusOf(system.temporal, company, 'stuck')) === 'COMPLETED');
    expect(await effects('stuck')).toMatchObject(once);
    expect(await carrierOf(system.owner, company, 'stuck')).toBe(stuck.workflowId);
  });

  test('does not hold up the others; its client waits on, and gets the first answer', async () => {
    const held = await company.invoice();
    const { release } = await holdInvoice(system.owner, held);
    const invoices = [held, ...(await Promise.all(Array.from({ length: 5 }, () => company.invoice())))];
    const [slow, ...others] = await groups.together(system.url, company, () =>
      invoices.map((invoiceId, index) =>
        company.api.post('/api/payments', paymentBody(invoiceId), { key: `beside-${index}` }),
      ),
    );
    for (const answer of await Promise.all(others)) expectOneStory([answer], { firsts: 1 });
    expect(await effects('beside-0')).toMatchObject({ writes: 0 });
    await until('it to have left', async () =>
      statusOf(system.temporal, company, 'beside-0').then(
        (status) => status === 'RUNNING',
        () => false,
      ),
    );
    await release();
    const answer = await slow;
    expectOneStory(answer === undefined ? [] : [answer], { firsts: 1 });
    expect(await effects('beside-0')).toMatchObject({ ...once, replayedAudit: 0 });
  });

  test('because its group was ended by an operator is told as unknown, and is made once when it is sent again', async () => {
    const invoiceId = await company.invoice();
    const { release } = await holdInvoice(system.owner, invoiceId);
    const send = () => company.api.post('/api/payments', paymentBody(invoiceId), { key: 'ended' });
    const [waiting] = await groups.together(system.url, company, () => [send()]);
    await untilWaiting(system.owner, 1);
    const openGroups = `TaskQueue = '${system.environment['TEMPORAL_TASK_QUEUE']}' AND WorkflowType = 'writeGroup' AND ExecutionStatus = 'Running'`;
    let ended = 0;
    // Temporal lists a run a moment after it has started it.
    await until('the group to be listed, and ended', async () => {
      for await (const { workflowId } of system.temporal.workflow.list({ query: openGroups })) {
        await system.temporal.workflow.getHandle(workflowId).terminate('ended by the test');
        ended += 1;
      }
      return ended > 0;
    });
    expect(ended).toBe(1);
    const answer = await waiting;
    expect([answer?.status, answer?.json.code]).toEqual([503, 'outcome_unknown']);
    await release();
    const { final } = await untilFinal(send);
    expectOneStory([final, await send()]);
    expect(await effects('ended')).toMatchObject(once);
  });
});

describe('writes that wait for their group while Temporal is away', () => {
  let groups: Groups;
  let system: System;
  let company: Company;
  beforeAll(async () => {
    groups = await startGroups();
    system = await startSystem({ environment: groups.environment });
    company = await system.company();
  });
  afterAll(async () => {
    await system.stop();
    await groups.close();
  });

  test.each(['wait=1', 'respond-async', 'wait=0'])(
    'with %s are refused, never accepted, and none is lost',
    async (prefer) => {
      const keys = Array.from({ length: 6 }, (_, index) => `${prefer.replace('=', '-')}-${index}`);
      const send = (key: string, preference: string) =>
        company.api.post('/api/customers', { name: key }, { key, headers: { prefer: preference } });
      groups.freeze();
      const refused = await Promise.all(keys.map((key) => send(key, prefer)));
      groups.open();
      for (const answer of refused) {
        expect([answer.status, answer.json.retryable]).toEqual([503, true]);
        expect(['orchestrator_unavailable', 'overloaded', 'outcome_unknown']).toContain(answer.json.code);
      }
      for (const key of keys) {
        const { final } = await untilFinal(() => send(key, 'wait=10'));
        expectOneStory([final, await send(key, 'wait=10')]);
        expect(await countEffects(system.owner, { companyId: company.id, table: 'customers', key })).toMatchObject({
          writes: 1,
          rows: 1,
          newAudit: 1,
          failedAudit: 0,
          events: 1,
        });
      }
    },
  );
});
