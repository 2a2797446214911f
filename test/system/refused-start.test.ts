import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { type Groups, readGauge, startGroups } from '../support/groups.ts';
import { holdInvoice, until, untilWaiting } from '../support/held-invoice.ts';
import { untilFinal } from '../support/persistent.ts';
import { type System, startSystem } from '../support/system.ts';

const STORM = 200;
/** Starts past the queue (STARTS_ALONE_AT_ONCE) and in it (STARTS_AT_ONCE). */
const ON_THE_WAY = 20 + 2;
const ROUNDS = 5;
const GROUP = 60;

describe('while no start gets through', () => {
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

  const gauge = (name: string) => readGauge(system.url, name);

  async function madeOf(keys: readonly string[]): Promise<number> {
    const { rows } = await system.owner.query(
      'SELECT count(*)::int AS made FROM idempotent_writes WHERE company_id = $1 AND idempotency_key = ANY ($2)',
      [company.id, keys],
    );
    return rows[0].made;
  }

  test('what is told to be overloaded is never started by that request, and is not kept', async () => {
    const send = (key: string, prefer: string) =>
      company.api.post('/api/customers', { name: key }, { key, headers: { prefer } });
    const keys = Array.from({ length: STORM }, (_, index) => `storm-${index}`);
    groups.freeze();
    const answers = await Promise.all(
      keys.map(async (key) => ({ key, code: (await send(key, 'respond-async')).json.code })),
    );
    const kept = { queued: await gauge('write_starts_queued'), inFlight: await gauge('write_flights') };
    groups.open();
    const refused = answers.filter(({ code }) => code === 'overloaded').map(({ key }) => key);
    const unsure = answers.filter(({ code }) => code !== 'overloaded');
    // Where the machine is slow, some starts have been given up before the last requests arrive, and make way for as many.
    expect(refused.length).toBeGreaterThanOrEqual(STORM - ROUNDS * ON_THE_WAY);
    expect(new Set(unsure.map(({ code }) => code))).toEqual(new Set(['orchestrator_unavailable']));

    // All that may still be started has been by then.
    await until('all starts to be made', async () => (await madeOf(unsure.map(({ key }) => key))) === unsure.length);
    await until('the queue to be empty', async () => (await gauge('write_flights')) === 0);
    await sleep(1_000);
    expect(await madeOf(refused)).toBe(0);
    expect(kept.queued).toBe(0);
    expect(kept.inFlight).toBeLessThanOrEqual(ON_THE_WAY);

    for (const key of refused.slice(0, 5)) {
      const { final } = await untilFinal(() => send(key, 'wait=10'));
      expect([final.status, final.replayed]).toEqual([201, false]);
    }
  });

  test('what travels in a group is told as unknown, and has its outcome later', async () => {
    const body = paymentBody(await company.invoice({ total: GROUP }), 1);
    const { release } = await holdInvoice(system.owner, body.invoiceId);
    const keys = Array.from({ length: GROUP }, (_, index) => `group-${index}`);
    const sent = await groups.together(system.url, company, () =>
      keys.map((key) => company.api.post('/api/payments', body, { key, headers: { prefer: 'wait=5' } })),
    );
    await untilWaiting(system.owner, 1);
    groups.freeze();
    const codes = (await Promise.all(sent)).map(({ json }) => json.code);
    groups.open();
    await release();
    expect(new Set(codes)).toEqual(new Set(['orchestrator_unavailable', 'outcome_unknown']));
    await until('all payments', async () => (await madeOf(keys)) === GROUP);
  });
});
