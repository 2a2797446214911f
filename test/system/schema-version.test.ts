import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { workflowIdOf } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { ATTEMPT_POLICY } from '../../activities/write/attempt-policy.ts';
import { WRITE_WORKFLOW_TYPE } from '../../workflows/messages.ts';
import type { ApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects } from '../support/effects.ts';
import { heldOperation, hold, untilHeld } from '../support/held-operation.ts';
import { type System, startSystem } from '../support/system.ts';
import { writeArguments } from '../support/write-arguments.ts';

/** The next release's operation: one more optional member, with a default that is part of the fingerprint. */
const nextCreateCustomer: Operation = {
  ...createCustomer,
  schemaVersion: createCustomer.schemaVersion + 1,
  body: createCustomer.body.extend({ segment: z.enum(['small', 'large']).default('small') }),
};

describe('a release with one more optional, defaulted member', () => {
  let system: System;
  let company: Company;
  let old: ApiClient;
  let next: ApiClient;
  beforeAll(async () => {
    system = await startSystem({ operations: [heldOperation(createCustomer)] });
    company = await system.company();
    old = company.api;
    const release = await system.another({ operations: [heldOperation(nextCreateCustomer)] });
    next = company.as('owner', release.url);
  });
  afterAll(() => system.stop());

  const body = { name: 'Versioned', externalReference: 'V' };
  const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'customers', key });
  const named = (externalReference: string) => ({ ...body, externalReference });

  test('replays what the release before has stored, also with the default given', async () => {
    const first = await old.post('/api/customers', named('stored'), { key: 'stored' });
    expect(first.status).toBe(201);
    for (const content of [named('stored'), { ...named('stored'), segment: 'small' }]) {
      const answer = await next.post('/api/customers', content, { key: 'stored' });
      expect([answer.status, answer.replayed, answer.text]).toEqual([201, true, first.text]);
    }
    expect(await effects('stored')).toMatchObject({ writes: 1, rows: 1, newAudit: 1, replayedAudit: 2, events: 1 });
  });

  test('leaves a process of the release before it able to replay what it has stored', async () => {
    const lines = { ...named('later'), metadata: { a: '1' } };
    const first = await next.post('/api/customers', lines, { key: 'later' });
    expect(first.status).toBe(201);
    const again = await old.post('/api/customers', lines, { key: 'later' });
    expect([again.status, again.replayed, again.text]).toEqual([201, true, first.text]);
    const other = await old.post('/api/customers', { ...lines, name: 'Other' }, { key: 'later' });
    expect([other.status, other.json.code]).toEqual([422, 'idempotency_key_reused']);
    expect(await effects('later')).toMatchObject({ writes: 1, rows: 1, newAudit: 1, replayedAudit: 1, events: 1 });
  });

  test('still refuses a request that differs, in an old member or in the new one', async () => {
    await old.created('/api/customers', named('differs'), { key: 'differs' });
    const differs = async (content: object) => {
      const answer = await next.post('/api/customers', content, { key: 'differs' });
      expect([answer.status, answer.json.code]).toEqual([422, 'idempotency_key_reused']);
      return answer.json.differences;
    };
    expect(await differs({ ...named('differs'), name: 'Other' })).toContainEqual({ in: 'body', pointer: '/name' });
    expect(await differs({ ...named('differs'), segment: 'large' })).toEqual([{ in: 'body', pointer: '/segment' }]);
  });

  test('waits for a run that the release before has open, and replays its outcome', async () => {
    const release = await hold(system.owner);
    const first = old.post('/api/customers', named('open'), { key: 'open' });
    await untilHeld(system.owner);
    const same = next.post('/api/customers', named('open'), { key: 'open' });
    const other = next.post('/api/customers', { ...named('open'), name: 'Other' }, { key: 'open' });
    const early = await Promise.race([
      same,
      other,
      new Promise((resolve) => setTimeout(resolve, 700, 'still waiting')),
    ]);
    expect(early).toBe('still waiting');
    const strict = await next.post('/api/customers', named('open'), { key: 'open', headers: { prefer: 'wait=0' } });
    expect([strict.status, strict.json.code]).toEqual([409, 'idempotency_in_progress']);

    await release();
    const [one, two, three] = await Promise.all([first, same, other]);
    expect([one.status, one.replayed]).toEqual([201, false]);
    expect([two.status, two.replayed, two.text]).toEqual([201, true, one.text]);
    expect([three.status, three.json.code]).toEqual([422, 'idempotency_key_reused']);
    expect(await effects('open')).toMatchObject({ writes: 1, rows: 1, newAudit: 1, events: 1 });
  });

  test('is left to a worker of its own by one of the release before, and fails no run', async () => {
    const queue = { environment: { TEMPORAL_TASK_QUEUE: `${system.environment['TEMPORAL_TASK_QUEUE']}-rolling` } };
    const before = await system.another({ ...queue, operations: [createCustomer] });
    const args = {
      ...writeArguments(company, nextCreateCustomer, named('rolling'), 'rolling'),
      policy: ATTEMPT_POLICY,
    };
    const run = await system.temporal.workflow.start(WRITE_WORKFLOW_TYPE, {
      workflowId: workflowIdOf(company.id, 'rolling'),
      taskQueue: queue.environment.TEMPORAL_TASK_QUEUE,
      args: [args],
    });
    // It has had its attempts by then: the first takes milliseconds.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect((await run.describe()).status.name).toBe('RUNNING');
    expect(await effects('rolling')).toMatchObject({ writes: 0, failedAudit: 0 });

    await system.another({ ...queue, operations: [nextCreateCustomer] });
    await before.close();
    await run.result();
    expect(await effects('rolling')).toMatchObject({ writes: 1, rows: 1, newAudit: 1, failedAudit: 0, events: 1 });
  });
});
