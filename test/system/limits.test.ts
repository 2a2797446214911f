import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, countEverything } from '../support/effects.ts';
import { heldOperation, hold, untilHeld } from '../support/held-operation.ts';
import { type System, startSystem } from '../support/system.ts';

const AT_ONCE = 12;

describe('a process at its limit', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem({
      operations: OPERATIONS.map((operation) => (operation === createCustomer ? heldOperation(operation) : operation)),
    });
    company = await system.company();
  });
  afterAll(() => system.stop());

  const body = { name: 'Limited' };
  async function limited(environment: Record<string, string>) {
    const { url } = await system.another({ environment });
    return (key: string, of = company, headers: Record<string, string> = {}) =>
      of.as('owner', url).post('/api/customers', body, { key, headers });
  }
  const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'customers', key });

  function expectRefused(answer: Answer, status: number, code: string, key: string): void {
    expect([answer.status, answer.json.code]).toEqual([status, code]);
    expect(answer.json).toMatchObject({ retryable: true, nextAction: 'retry_same_key' });
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(answer.headers.get('idempotency-key')).toBe(key);
    expect(answer.replayed).toBe(false);
  }

  test('refuses new writes of the company that has used up its rate, and of no other; replays go on', async () => {
    const send = await limited({ RATE_LIMIT_PER_SECOND: '1', RATE_LIMIT_BURST: '1' });
    const first = await send('rate-0');
    expect(first.status).toBe(201);
    const before = await countEverything(system.owner, company.id);
    // At once: only a few can come as late as the second that a token takes to come back, be the machine ever so slow.
    const answers = await Promise.all(
      Array.from(
        { length: AT_ONCE },
        async (_, index) => [`rate-${index + 1}`, await send(`rate-${index + 1}`)] as const,
      ),
    );
    const refused = answers.filter(([, { status }]) => status !== 201);
    expect(refused.length).toBeGreaterThanOrEqual(3);
    for (const [key, answer] of refused) expectRefused(answer, 429, 'rate_limited', key);
    const { idempotent_writes: writes = 0, idempotent_write_audit_log: audit = 0 } = before;
    expect(await countEverything(system.owner, company.id)).toMatchObject({
      idempotent_writes: writes + AT_ONCE - refused.length,
      idempotent_write_audit_log: audit + AT_ONCE - refused.length,
    });

    for (let again = 0; again < 10; again += 1) {
      const replay = await send('rate-0');
      expect([replay.status, replay.replayed, replay.text]).toEqual([201, true, first.text]);
    }
    expect((await send('rate-0', await system.company('Another'))).status).toBe(201);

    const [key] = refused[0] ?? [''];
    await expect.poll(async () => (await send(key)).status, { timeout: 120_000, interval: 300 }).toBe(201);
    expect(await effects(key)).toMatchObject({ writes: 1, rows: 1, newAudit: 1, events: 1 });
  });

  test('lets duplicates join their write without using the rate', async () => {
    const send = await limited({ RATE_LIMIT_PER_SECOND: '1', RATE_LIMIT_BURST: '1' });
    const release = await hold(system.owner);
    const waiting = [send('joined')];
    await untilHeld(system.owner);
    for (let index = 0; index < 10; index += 1) waiting.push(send('joined'));
    // Long enough to arrive; whoever has an answer now was not let in.
    const early = await Promise.race([...waiting, sleep(700, 'all wait')]);
    await release();
    expect(early).toBe('all wait');
    const answers = await Promise.all(waiting);
    expect(answers.map(({ status }) => status)).toEqual(Array(11).fill(201));
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
  });

  test('has a limit of their own for replays, and says so', async () => {
    const send = await limited({ REPLAY_RATE_LIMIT_PER_SECOND: '1' });
    await send('replay-rate');
    const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => send('replay-rate')));
    expect(answers.filter(({ replayed }) => replayed).length).toBeGreaterThanOrEqual(1);
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThanOrEqual(3);
    for (const answer of refused) expectRefused(answer, 429, 'rate_limited', 'replay-rate');
  });

  test('sheds new writes while it carries as many as it may; replays and duplicates go on', async () => {
    const send = await limited({ MAX_IN_FLIGHT_WRITES: '1' });
    const done = await send('shed-done');
    const release = await hold(system.owner);
    const held = send('shed-held');
    await untilHeld(system.owner);

    expectRefused(await send('shed-new'), 503, 'overloaded', 'shed-new');
    const replay = await send('shed-done');
    expect([replay.status, replay.replayed, replay.text]).toEqual([201, true, done.text]);
    const joined = send('shed-held');
    await release();
    const [first, second] = await Promise.all([held, joined]);
    expect([first.status, second.status, second.text]).toEqual([201, 201, first.text]);

    expect(await effects('shed-new')).toMatchObject({ writes: 0, newAudit: 0, failedAudit: 0 });
    expect([(await send('shed-new')).status, (await send('shed-new')).replayed]).toEqual([201, true]);
  });

  test('keeps no place for a write whose run is open and for which nobody waits', async () => {
    const send = await limited({ MAX_IN_FLIGHT_WRITES: '2' });
    const release = await hold(system.owner);
    for (const key of ['left-1', 'left-2', 'left-3']) {
      expect((await send(key, company, { prefer: 'respond-async' })).status).toBe(202);
    }
    const joined = send('left-1');
    await release();
    expect([(await joined).status, (await send('left-2')).status]).toEqual([201, 201]);
  });
});
