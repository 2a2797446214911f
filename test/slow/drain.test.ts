import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { workflowIdOf } from '../../activities/identity.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { inForm } from '../support/form.ts';
import { readGauge } from '../support/groups.ts';
import { holdInvoice, until, untilWaiting } from '../support/held-invoice.ts';
import { expectOneStory } from '../support/one-story.ts';
import { startApiProcess, startWorkerProcess } from '../support/processes.ts';
import { type System, startSystem } from '../support/system.ts';
import { writeArguments } from '../support/write-arguments.ts';

describe('a process that is told to end (SIGTERM)', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
  });
  afterAll(() => system.stop());

  const submissions = (url: string) => readGauge(url, 'write_flights');
  const countPayments = async () =>
    (await countEffects(system.owner, { companyId: company.id, table: 'payments' })).rows;

  test.each(inForm({ short: ['on'], long: ['off', 'on'] }))(
    'answers every request that it has accepted, refuses new ones, and ends with 0: grouping %s',
    async (grouping) => {
      const api = await startApiProcess({ ...system.environment, WRITE_GROUPING: grouping });
      onTestFinished(() => api.kill());
      const client = company.as('owner', api.url);
      const payments = await countPayments();
      const invoiceId = await company.invoice();
      const held = await holdInvoice(system.owner, invoiceId);
      const keys = Array.from({ length: 60 }, () => randomUUID());
      const storm = keys.map((key, index) =>
        client.post('/api/payments', paymentBody(invoiceId, index + 1), { key, headers: { prefer: 'wait=60' } }),
      );
      await until('all of them', async () => (await submissions(api.url)) === keys.length);

      const exitCode = api.terminate();
      await until('it to drain', async () => !(await fetch(`${api.url}/livez`).catch(() => undefined)));
      const late = await client
        .post('/api/payments', paymentBody(invoiceId, 1), { key: 'late' })
        .catch(() => undefined);
      expect(late).toBeUndefined();
      await held.release();
      for (const answer of await Promise.all(storm)) expectOneStory([answer], { firsts: 1 });
      expect(await exitCode).toBe(0);
      expect(await countPayments()).toBe(payments + keys.length);
    },
  );

  test('says that it is not ready while it still listens, answers once more on a connection, and waits for no silent one', async () => {
    const api = await startApiProcess(system.environment);
    onTestFinished(() => api.kill());
    const silent = await connectTo(api.url);
    const ready = () => fetch(`${api.url}/readyz`);
    expect((await ready()).status).toBe(200);
    const exitCode = api.terminate();
    let answer = await ready();
    await until('it to say so', async () => {
      answer = await ready();
      return answer.status !== 200;
    });
    expect([answer.status, await answer.json()]).toEqual([
      503,
      { status: 'draining', checks: { database: 'ok', trust: 'trusted', authentication: 'ok' } },
    ]);
    expect(answer.headers.get('connection')).toBe('close');
    expect(await exitCode).toBe(0);
    await silent.closed;
  });

  test('finishes the transaction that it runs, when it is a worker, and ends with 0', async () => {
    const taskQueue = `${system.environment['TEMPORAL_TASK_QUEUE']}_worker`;
    const worker = await startWorkerProcess({ ...system.environment, TEMPORAL_TASK_QUEUE: taskQueue });
    onTestFinished(() => worker.kill());
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const run = await system.temporal.workflow.start('write', {
      workflowId: workflowIdOf(company.id, 'worker'),
      taskQueue,
      args: [writeArguments(company, createPayment, body, 'worker')],
    });
    await untilWaiting(system.owner, 1);
    const exitCode = worker.terminate();
    await until('it to drain', async () => worker.logs.some(({ msg }) => msg === 'The worker is draining'));
    await held.release();
    expect(await exitCode).toBe(0);
    expect(await run.result()).toMatchObject({ outcome: 'succeeded', first: true });
    const effects = await countEffects(system.owner, { companyId: company.id, table: 'payments', key: 'worker' });
    expect(effects).toMatchObject({ writes: 1, rows: 1, entries: 1, newAudit: 1, events: 1 });
  });
});

/** A connection that never sends a request. */
async function connectTo(url: string): Promise<{ readonly closed: Promise<unknown> }> {
  const silent = connect(Number(new URL(url).port), '127.0.0.1');
  silent.on('error', () => undefined);
  await new Promise((resolve) => silent.once('connect', resolve));
  return { closed: new Promise((resolve) => silent.once('close', resolve)) };
}
