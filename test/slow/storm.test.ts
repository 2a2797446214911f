import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { inForm } from '../support/form.ts';
import { type Groups, startGroups } from '../support/groups.ts';
import { expectOneStory } from '../support/one-story.ts';
import { untilFinal } from '../support/persistent.ts';
import { type SystemProcess, startApiProcess } from '../support/processes.ts';
import { countRuns } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';

/** Processes take their time to start: the short form has them with grouping only. */
const DUPLICATES = inForm({
  short: { groupings: ['on'], requests: 200 },
  long: { groupings: ['off', 'on'], requests: 500 },
});
const DIFFERENT_KEYS = inForm({
  short: [
    { grouping: 'off', keyCount: 40 },
    { grouping: 'on', keyCount: 150 },
  ],
  long: [
    { grouping: 'off', keyCount: 500 },
    { grouping: 'on', keyCount: 500 },
  ],
});
const STORM_TIMEOUT_MS = 420_000;
/** How many of a storm wait at least for the first group; how many of the others do depends on the machine. */
const SURELY_TOGETHER = 20;

describe.each(DUPLICATES.groupings)('a storm of duplicates is one write, grouping %s,', (grouping) => {
  let system: System;
  let company: Company;
  let processes: SystemProcess[];
  beforeAll(async () => {
    system = await startSystem({ environment: { WRITE_GROUPING: grouping } });
    company = await system.company();
    processes = await Promise.all([1, 2].map(() => startApiProcess(system.environment)));
  });
  afterAll(async () => {
    await Promise.all(processes.map((process) => process.terminate()));
    await system.stop();
  });

  test.each([
    ['one process', () => [system.url]],
    ['two processes', () => processes.map(({ url }) => url)],
  ])(
    'many identical requests at once through %s',
    async (_what, urls) => {
      const key = randomUUID();
      const body = paymentBody(await company.invoice());
      const clients = urls().map((url) => company.as('owner', url));
      const ends = await Promise.all(
        Array.from({ length: DUPLICATES.requests }, (_, index) => {
          const client = clients[index % clients.length] ?? company.api;
          return untilFinal(() => client.post('/api/payments', body, { key, headers: { prefer: 'wait=60' } }));
        }),
      );
      const answers = ends.map(({ final }) => final);
      const refusals = ends.flatMap(({ before }) => before).length;
      // The first answer may have been one of the refusals of a busy machine, which told nothing of the outcome.
      expectOneStory(answers, refusals === 0 ? { firsts: 1 } : {});
      const effects = await countEffects(system.owner, { companyId: company.id, table: 'payments', key });
      expect(effects).toMatchObject({ writes: 1, rows: 1, entries: 1, newAudit: 1, failedAudit: 0, events: 1 });
      const replays = answers.filter(({ replayed }) => replayed).length;
      expect(effects.replayedAudit).toBeGreaterThanOrEqual(replays);
      expect(effects.replayedAudit).toBeLessThanOrEqual(replays + refusals);
      expect(await countRuns(system.temporal, { company, key })).toBe(1);
    },
    STORM_TIMEOUT_MS,
  );
});

describe.each(DIFFERENT_KEYS)('a storm of different keys, grouping $grouping,', ({ grouping, keyCount }) => {
  let system: System;
  let company: Company;
  let groups: Groups;
  beforeAll(async () => {
    groups = await startGroups();
    const environment = {
      ...groups.environment,
      WRITE_GROUPING: grouping,
      // All of them wait for one invoice: on a busy machine longer than the lock time-out allows, and what meets that
      // leaves its group.
      STATEMENT_TIMEOUT_MS: '60000',
    };
    system = await startSystem({ environment });
    company = await system.company();
  });
  afterAll(async () => {
    await system.stop();
    await groups.close();
  });

  test(
    'is as many writes, and the same storm again is as many replays',
    async () => {
      const keys = Array.from({ length: keyCount }, () => randomUUID());
      const invoiceId = await company.invoice({ total: 1_000_000 });
      const bodies = keys.map((_, index) => paymentBody(invoiceId, index + 1));
      const send = () =>
        keys.map((key, index) =>
          untilFinal(() => company.api.post('/api/payments', bodies[index], { key, headers: { prefer: 'wait=60' } })),
        );
      const first = await (grouping === 'on'
        ? groups.together(system.url, await system.company(), send, SURELY_TOGETHER)
        : send());
      const [firsts, replays] = [await Promise.all(first), await Promise.all(send())];
      for (const [index, { final, before }] of firsts.entries()) {
        const replay = replays[index]?.final;
        if (replay === undefined) throw new Error('Bug! An answer is missing');
        expect(final.json.amount).toBe(index + 1);
        expect([final.replayed, replay.replayed]).toEqual([before.length > 0 && final.replayed, true]);
        expectOneStory([final, replay]);
      }
      expect(new Set(firsts.map(({ final }) => final.json.id)).size).toBe(keyCount);
      const rows = await countEffects(system.owner, { companyId: company.id, table: 'payments' });
      expect(rows).toMatchObject({ rows: keyCount, failedAudit: 0 });
      expect(rows.replayedAudit).toBeGreaterThanOrEqual(keyCount);
      // A write has a run of its own, or it has travelled in a group and has none.
      const together = await countGrouped(system.owner, company);
      const alone = keyCount - together;
      expect(await countRuns(system.temporal, { company, atLeast: alone })).toBe(alone);
      expect(together >= SURELY_TOGETHER).toBe(grouping === 'on');
      const invoice = await system.owner.query('SELECT paid_minor::int AS paid FROM invoices WHERE id = $1', [
        invoiceId,
      ]);
      expect(invoice.rows[0].paid).toBe((keyCount * (keyCount + 1)) / 2);
    },
    STORM_TIMEOUT_MS,
  );
});

async function countGrouped(owner: pg.Pool, company: Company): Promise<number> {
  const { rows } = await owner.query(
    "SELECT count(*)::int AS n FROM idempotent_writes WHERE company_id = $1 AND starts_with(workflow_id, 'group:')",
    [company.id],
  );
  return rows[0].n;
}
