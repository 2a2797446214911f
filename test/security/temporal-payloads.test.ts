import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { workflowIdOf } from '../../activities/identity.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { readWorkerConfig } from '../../worker/config.ts';
import { paymentBody } from '../support/effects.ts';
import { type Groups, startGroups } from '../support/groups.ts';
import { rawHistory, rawRun, readable } from '../support/raw-temporal.ts';
import { countRuns } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';
import { writeArguments } from '../support/write-arguments.ts';

let system: System;
let groups: Groups;

beforeAll(async () => {
  groups = await startGroups();
  system = await startSystem({ environment: groups.environment });
});
afterAll(async () => {
  await system.stop();
  await groups.close();
});

describe('what Temporal keeps', () => {
  /** In every form in which the server stores something of the run: its history, memo, summary, details, search attributes. */
  const stored = async (workflowId: string) => {
    const { events } = await rawHistory(system.temporal, workflowId);
    return readable([events, await rawRun(system.temporal, workflowId)]);
  };

  test('of a write alone has no name, no amount and no text of its request', async () => {
    const company = await system.company();
    const key = randomUUID();
    const body = { name: 'Zaphod Beeblebrox', email: 'zaphod@example.test', currency: 'USD' };
    await company.api.created('/api/customers', body, { key });
    await countRuns(system.temporal, { company, key });
    const text = await stored(workflowIdOf(company.id, key));
    expect(text).toContain(key);
    expect(text).not.toMatch(/zaphod|beeblebrox/i);
    // The decoder works: the same text is there for whoever has the key.
    const run = system.temporal.workflow.getHandle(workflowIdOf(company.id, key));
    expect((await run.describe()).memo).toMatchObject({ operation: 'createCustomer' });
  });

  test('of writes that travel together has none either', async () => {
    const company = await system.company();
    const keys = [randomUUID(), randomUUID()];
    const sent = await groups.together(system.url, company, () =>
      keys.map((key) => company.api.post('/api/customers', { name: 'Ford Prefect', currency: 'USD' }, { key })),
    );
    for (const answer of await Promise.all(sent)) expect(answer.status).toBe(201);
    const { rows } = await system.owner.query(
      'SELECT DISTINCT workflow_id AS id FROM idempotent_writes WHERE company_id = $1 AND idempotency_key = ANY($2)',
      [company.id, keys],
    );
    expect(rows).toHaveLength(1);
    expect(rows[0].id).toMatch(/^group:/);
    const text = await stored(rows[0].id);
    expect(text).not.toMatch(/prefect|customer/i);
    for (const key of keys) expect(text).not.toContain(key);
  });

  test('of a run that failed has no message and no stack trace', async () => {
    const company = await system.company();
    const { TEMPORAL_TASK_QUEUE: taskQueue } = readWorkerConfig(system.environment);
    const args = writeArguments(company, createPayment, paymentBody(await company.invoice(), 100), randomUUID());
    // Of another key, so that it fails.
    const workflowId = workflowIdOf(company.id, 'a-failed-one');
    await system.temporal.workflow.start('write', { taskQueue, workflowId, args: [args] });
    await expect(system.temporal.workflow.getHandle(workflowId).result()).rejects.toThrow('Workflow execution failed');
    const text = await stored(workflowId);
    expect(text).toContain('RunRefused');
    expect(text).not.toMatch(/not that of its company|\.ts:|at \w+ \(/);
  });
});
