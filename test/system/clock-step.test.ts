import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { steppedClock } from '../support/clock-step.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { expectOneStory } from '../support/one-story.ts';
import { type SystemProcess, startApiProcess } from '../support/processes.ts';
import { type System, startSystem } from '../support/system.ts';

const WRITES = 12;

describe('a process whose clock is set', () => {
  let system: System;
  let api: SystemProcess;
  beforeAll(async () => {
    system = await startSystem();
    api = await startApiProcess({ ...system.environment, ...steppedClock() });
  });
  afterAll(async () => {
    await api.kill();
    await system.stop();
  });

  test.each(['back an hour', 'ahead by two', 'right again'])(
    '%s, goes on for companies, tokens and keys that it knows, and for new ones',
    async (step) => {
      const [known, fresh] = [await system.company(), await system.company()];
      const before = await writesOf(known, 'before');
      const firsts = await send(known, before);
      const travelling = send(known, await writesOf(known, 'travelling'));
      process.kill(api.pid, 'SIGWINCH');
      for (const answer of await travelling) expect(answer.status).toBe(201);
      for (const company of [known, fresh]) {
        for (const answer of await send(company, await writesOf(company, 'after'))) expect(answer.status).toBe(201);
      }
      for (const [index, again] of (await send(known, before)).entries()) {
        const first = firsts[index];
        expectOneStory(first === undefined ? [again] : [first, again]);
      }
      for (const { key } of before) {
        const made = await countEffects(system.owner, { companyId: known.id, table: 'payments', key });
        expect([step, made]).toEqual([step, expect.objectContaining({ writes: 1, rows: 1, events: 1 })]);
      }
    },
  );

  type Company = Awaited<ReturnType<System['company']>>;
  type Write = { readonly key: string; readonly body: ReturnType<typeof paymentBody> };

  async function writesOf(company: Company, prefix: string): Promise<Write[]> {
    const invoiceId = await company.invoice();
    return Array.from({ length: WRITES }, (_, index) => ({
      key: `${prefix}-${index}`,
      body: paymentBody(invoiceId, index + 1),
    }));
  }

  function send(company: Company, writes: readonly Write[]) {
    const client = company.as('owner', api.url);
    const headers = { prefer: 'wait=60' };
    return Promise.all(writes.map(({ key, body }) => client.post('/api/payments', body, { key, headers })));
  }
});
