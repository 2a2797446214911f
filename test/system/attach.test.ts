import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunningApi } from '../../api/app.ts';
import type { ApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { carrierOf, type Groups, startGroups } from '../support/groups.ts';
import { holdInvoice, until, untilWaiting } from '../support/held-invoice.ts';
import { expectOneStory } from '../support/one-story.ts';
import { countRuns } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';

describe.each([
  { lane: 'in a workflow of its own', isGrouped: false },
  { lane: 'in a group', isGrouped: true },
])('a duplicate of a write in flight $lane', ({ isGrouped }) => {
  let groups: Groups;
  let system: System;
  let company: Company;
  let other: RunningApi;
  let here: ApiClient;
  let there: ApiClient;
  beforeAll(async () => {
    groups = await startGroups();
    system = await startSystem(isGrouped ? { environment: groups.environment } : {});
    company = await system.company();
    other = await system.another();
    here = company.api;
    there = company.as('owner', other.url);
  });
  afterAll(async () => {
    await system.stop();
    await groups.close();
  });

  const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });
  const once = { writes: 1, rows: 1, entries: 1, newAudit: 1, events: 1 };

  /** A payment under way, held in its transaction. */
  async function underWay(key: string, headers: Record<string, string> = {}) {
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const send = () => [here.post('/api/payments', body, { key, headers })];
    const [first] = isGrouped ? await groups.together(system.url, company, send) : send();
    if (first === undefined) throw new Error('Bug! Nothing was sent');
    await untilWaiting(system.owner, 1);
    return { body, first, release: held.release };
  }

  test('waits for it, here and through another process, and all get the same answer', async () => {
    const { body, first, release } = await underWay('waits');
    let answered = 0;
    const count = <T>(answer: T) => {
      answered += 1;
      return answer;
    };
    const duplicates = [here, there, here, there].map((api) =>
      api.post('/api/payments', body, { key: 'waits' }).then(count),
    );
    // Long enough that one which does not wait would have answered.
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(answered).toBe(0);
    await release();
    const [opener, ...others] = await Promise.all([first, ...duplicates]);
    expectOneStory([opener, ...others], { firsts: 1 });
    expect(opener.replayed).toBe(false);
    expect(await effects('waits')).toMatchObject({ ...once, replayedAudit: 4 });
    expect(await carrierOf(system.owner, company, 'waits')).toMatch(isGrouped ? /^group:/ : /:waits$/);
    // Beside the group, it is the run of those that came through the other process.
    expect(await countRuns(system.temporal, { company, key: 'waits' })).toBe(1);
  });

  test('that asks with wait=0 gets 409 at once, here and through another process', async () => {
    const { body, first, release } = await underWay('strict');
    // Elsewhere a write that travels in a group looks like a first request until its commit.
    const elsewhere = await there.post('/api/payments', body, { key: 'strict', headers: { prefer: 'wait=0' } });
    expect(elsewhere.status).toBe(isGrouped ? 202 : 409);
    for (const api of isGrouped ? [here] : [here, there]) {
      const refused = await api.post('/api/payments', body, { key: 'strict', headers: { prefer: 'wait=0' } });
      expect(refused.status).toBe(409);
      expect(refused.json).toMatchObject({
        code: 'idempotency_in_progress',
        retryable: true,
        nextAction: 'wait',
        writeUrl: '/api/writes/strict',
      });
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect(refused.headers.get('preference-applied')).toBe('wait=0');
      expect(refused.replayed).toBe(false);
    }
    await release();
    expect((await first).status).toBe(201);
    for (const api of [here, there]) {
      const answer = await api.post('/api/payments', body, { key: 'strict', headers: { prefer: 'wait=0' } });
      // Beside a group, the run that was accepted elsewhere may have been the one that made it.
      expectOneStory([await first, answer], isGrouped ? {} : { firsts: 1 });
    }
    expect(await effects('strict')).toMatchObject(once);
  });

  test('with another body gets 422, here and through another process, and the first is untouched', async () => {
    const { body, first, release } = await underWay('mismatch');
    const others = [here, there].map((api) => api.post('/api/payments', { ...body, amount: 101 }, { key: 'mismatch' }));
    // What travels in a group may yet fail: nobody is refused for its sake before it has its outcome.
    const early = await Promise.race([
      (isGrouped ? Promise.race(others) : Promise.all(others)).then(() => 'refused'),
      sleep(isGrouped ? 700 : 4_000, 'not refused', { ref: false }),
    ]);
    expect(early).toBe(isGrouped ? 'not refused' : 'refused');
    const elsewhere = there.post('/api/customers', { name: 'Other route' }, { key: 'mismatch' });
    if (!isGrouped) await elsewhere;
    await release();
    for (const refused of await Promise.all(others)) {
      expect(refused.status).toBe(422);
      expect(refused.json).toMatchObject({
        code: 'idempotency_key_reused',
        nextAction: 'use_new_key',
        differences: [{ in: 'body', pointer: '/amount' }],
      });
      expect(refused.replayed).toBe(false);
    }
    expect((await elsewhere).status).toBe(422);
    expect((await elsewhere).json).toMatchObject({
      code: 'idempotency_key_reused',
      differences: [{ in: 'operation' }],
    });
    const answer = await first;
    expect(answer.status).toBe(201);
    expect(answer.replayed).toBe(false);
    expect(await effects('mismatch')).toMatchObject({ ...once, failedAudit: 3 });
  });

  test('that asks with respond-async gets 202 and finds the outcome later', async () => {
    const { body, first, release } = await underWay('async');
    for (const api of [here, there]) {
      const accepted = await api.post('/api/payments', body, { key: 'async', headers: { prefer: 'respond-async' } });
      expect(accepted.status).toBe(202);
      expect(accepted.headers.get('location')).toBe('/api/writes/async');
      expect(accepted.headers.get('preference-applied')).toBe('respond-async');
      expect(Number(accepted.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect(accepted.json).toMatchObject({ key: 'async', operation: 'createPayment', state: 'running' });
      expect(accepted.replayed).toBe(false);
    }
    await release();
    const answers = [await first];
    for (const api of [here, there]) answers.push(await api.post('/api/payments', body, { key: 'async' }));
    const polled = await there.get('/api/writes/async');
    expect(polled.json).toMatchObject({ state: 'succeeded', status: 201, response: answers[0]?.json });
    expectOneStory(answers, { firsts: 1 });
    expect(await effects('async')).toMatchObject(once);
  });

  test.each(['respond-async', 'wait=0'])('a first request with %s gets 202, and the write goes on', async (prefer) => {
    const key = `first-${prefer.replace('=', '-')}`;
    const { body, first, release } = await underWay(key, { prefer });
    const accepted = await first;
    expect(accepted.status).toBe(202);
    const statusUrl = accepted.headers.get('location') ?? '';
    expect(statusUrl).toBe(`/api/writes/${key}`);
    // Polled where it was not sent too: every process can tell of it.
    for (const api of [here, there]) {
      const polled = await api.get(statusUrl);
      expect(polled.status).toBe(200);
      expect(polled.json).toMatchObject({ key, operation: 'createPayment', state: 'running', status: null });
    }
    await release();
    await until('the payment', async () => (await effects(key)).writes === 1);
    const answers = [await here.post('/api/payments', body, { key }), await there.post('/api/payments', body, { key })];
    expectOneStory(answers, { firsts: 0 });
    for (const api of [here, there]) {
      const polled = await api.get(statusUrl);
      expect(polled.status).toBe(200);
      expect(polled.json).toMatchObject({ key, state: 'succeeded', status: 201, response: answers[0]?.json });
    }
    expect(await effects(key)).toMatchObject(once);
  });

  test('at its deadline a waiting request gets 202, and the others wait on', async () => {
    const { body, first, release } = await underWay('deadline');
    const impatient = await Promise.all(
      [here, there].map((api) => api.post('/api/payments', body, { key: 'deadline', headers: { prefer: 'wait=1' } })),
    );
    expect(impatient.map(({ status }) => status)).toEqual([202, 202]);
    await release();
    expect((await first).status).toBe(201);
    expect((await first).replayed).toBe(false);
    expect(await effects('deadline')).toMatchObject(once);
  });
});
