import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from './support/companies.ts';
import { countEffects, paymentBody } from './support/effects.ts';
import { holdInvoice, until, untilWaiting } from './support/held-invoice.ts';
import { expectOneStory } from './support/one-story.ts';
import { countRuns } from './support/runs.ts';
import { type System, startSystem } from './support/system.ts';

describe('a client that goes away', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
  });
  afterAll(() => system.stop());

  const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });
  const once = { writes: 1, rows: 1, entries: 1, newAudit: 1, events: 1 };

  /** A request whose connection the client can cut. */
  function cuttable(body: unknown, key: string) {
    const controller = new AbortController();
    const gone = company.api
      .post('/api/payments', body, { key, signal: controller.signal })
      .then(() => false)
      .catch((error: Error) => error.name === 'AbortError');
    return { gone, cut: () => controller.abort() };
  }

  test('while its write runs loses its answer and not its write, which replays', async () => {
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const first = cuttable(body, 'winner');
    await untilWaiting(system.owner, 1);
    first.cut();
    expect(await first.gone).toBe(true);
    await held.release();
    await until('the payment', async () => (await effects('winner')).writes === 1);
    const answers = [
      await company.api.post('/api/payments', body, { key: 'winner' }),
      await company.api.post('/api/payments', body, { key: 'winner' }),
    ];
    expectOneStory(answers, { firsts: 0 });
    expect(await effects('winner')).toMatchObject(once);
    expect(await countRuns(system.temporal, { company, key: 'winner' })).toBe(1);
  });

  test('and comes back while its write still runs, waits for it and gets the answer', async () => {
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const first = cuttable(body, 'back');
    await untilWaiting(system.owner, 1);
    first.cut();
    await first.gone;
    const second = company.api.post('/api/payments', body, { key: 'back' });
    await held.release();
    expectOneStory([await second], { firsts: 0 });
    expect(await effects('back')).toMatchObject(once);
    expect(await countRuns(system.temporal, { company, key: 'back' })).toBe(1);
  });

  test('while it waits for another’s write changes nothing for the others', async () => {
    const body = paymentBody(await company.invoice());
    const held = await holdInvoice(system.owner, body.invoiceId);
    const first = company.api.post('/api/payments', body, { key: 'waiter' });
    await untilWaiting(system.owner, 1);
    const leaving = [cuttable(body, 'waiter'), cuttable(body, 'waiter')];
    const staying = [1, 2].map(() => company.api.post('/api/payments', body, { key: 'waiter' }));
    await new Promise((resolve) => setTimeout(resolve, 200));
    for (const request of leaving) request.cut();
    expect(await Promise.all(leaving.map(({ gone }) => gone))).toEqual([true, true]);
    await held.release();
    expectOneStory([await first, ...(await Promise.all(staying))], { firsts: 1 });
    expect((await first).replayed).toBe(false);
    expect(await effects('waiter')).toMatchObject(once);
  });
});
