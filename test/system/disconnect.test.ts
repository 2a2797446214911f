import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { patiently } from '../support/client.ts';
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
  const effectsOnce = { writes: 1, rows: 1, entries: 1, newAudit: 1, events: 1 };

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
    expect(await effects('winner')).toMatchObject(effectsOnce);
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
    expect(await effects('back')).toMatchObject(effectsOnce);
    await expectOneRun('back');
  });

  test('whose request is followed by bytes that are no HTTP is not told that nothing is stored', async () => {
    const payment = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, payment.invoiceId);
    const body = JSON.stringify(payment);
    const { hostname, port } = new URL(system.url);
    const socket = connect(Number(port), hostname);
    const received: string[] = [];
    socket.on('data', (chunk) => received.push(String(chunk)));
    const closed = once(socket, 'close');
    await underWay(async () => {
      const headers = ['host: api', `authorization: Bearer ${company.users.owner.token}`, 'idempotency-key: followed'];
      const content = ['content-type: application/json', `content-length: ${Buffer.byteLength(body)}`];
      socket.write(['POST /api/payments HTTP/1.1', ...headers, ...content, '', body].join('\r\n'));
      await closed;
    });
    socket.write('no HTTP\r\n\r\n');
    await closed;
    expect(received).toEqual([]);
    await held.release();
    const answer = await patiently(() => company.api.post('/api/payments', payment, { key: 'followed' }));
    expect([answer.status, answer.replayed]).toEqual([201, true]);
    expect(await effects('followed')).toMatchObject(effectsOnce);
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
    expect(await effects('waiter')).toMatchObject(effectsOnce);
  });
});
