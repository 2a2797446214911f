import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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
])('a client that goes away, its write $lane,', ({ isGrouped }) => {
  let groups: Groups;
  let system: System;
  let company: Company;
  beforeAll(async () => {
    groups = await startGroups();
    system = await startSystem(isGrouped ? { environment: groups.environment } : {});
    company = await system.company();
  });
  afterAll(async () => {
    await system.stop();
    await groups.close();
  });

  const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });
  const once = { writes: 1, rows: 1, entries: 1, newAudit: 1, events: 1 };

  /** A request whose connection the client can cut; `send` answers whether it did. */
  function cuttable(body: unknown, key: string) {
    const controller = new AbortController();
    const send = () =>
      company.api
        .post('/api/payments', body, { key, signal: controller.signal })
        .then(() => false)
        .catch((error: Error) => error.name === 'AbortError');
    return { send, cut: () => controller.abort() };
  }

  /** The first request of a write that is now held in its transaction, on the way that this run is about. */
  async function underWay<T>(send: () => Promise<T>): Promise<{ readonly first: Promise<T> }> {
    const [first] = isGrouped ? await groups.together(system.url, company, () => [send()]) : [send()];
    if (first === undefined) throw new Error('Bug! Nothing was sent');
    await untilWaiting(system.owner, 1);
    return { first };
  }

  async function expectOneRun(key: string): Promise<void> {
    const runs = isGrouped ? 0 : 1;
    expect(await countRuns(system.temporal, { company, key, atLeast: runs })).toBe(runs);
    expect(await carrierOf(system.owner, company, key)).toMatch(isGrouped ? /^group:/ : new RegExp(`:${key}$`));
  }

  test('while its write runs loses its answer and not its write, which replays', async () => {
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const client = cuttable(body, 'winner');
    const { first } = await underWay(client.send);
    client.cut();
    expect(await first).toBe(true);
    await held.release();
    await until('the payment', async () => (await effects('winner')).writes === 1);
    const answers = [
      await company.api.post('/api/payments', body, { key: 'winner' }),
      await company.api.post('/api/payments', body, { key: 'winner' }),
    ];
    expectOneStory(answers, { firsts: 0 });
    expect(await effects('winner')).toMatchObject(once);
    await expectOneRun('winner');
  });

  test('and comes back while its write still runs, waits for it and gets the answer', async () => {
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const client = cuttable(body, 'back');
    const { first } = await underWay(client.send);
    client.cut();
    expect(await first).toBe(true);
    const second = company.api.post('/api/payments', body, { key: 'back' });
    await held.release();
    expectOneStory([await second], { firsts: 0 });
    expect(await effects('back')).toMatchObject(once);
    await expectOneRun('back');
  });

  test('while it waits for another’s write changes nothing for the others', async () => {
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const { first } = await underWay(() => company.api.post('/api/payments', body, { key: 'waiter' }));
    const leaving = [cuttable(body, 'waiter'), cuttable(body, 'waiter')];
    const left = leaving.map(({ send }) => send());
    const staying = [1, 2].map(() => company.api.post('/api/payments', body, { key: 'waiter' }));
    await new Promise((resolve) => setTimeout(resolve, 200));
    for (const request of leaving) request.cut();
    expect(await Promise.all(left)).toEqual([true, true]);
    await held.release();
    expectOneStory([await first, ...(await Promise.all(staying))], { firsts: 1 });
    expect((await first).replayed).toBe(false);
    expect(await effects('waiter')).toMatchObject(once);
  });
});
