import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Company, companyMaker } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { inForm } from '../support/form.ts';
import { expectOneStory } from '../support/one-story.ts';
import { type OwnServers, startOwnServers } from '../support/own-servers.ts';
import { untilFinal } from '../support/persistent.ts';
import { type SystemProcess, startApiProcess, startWorkerProcess } from '../support/processes.ts';

type Storm = {
  readonly grouping: 'on' | 'off';
  readonly server: 'postgres' | 'temporal';
  /** Half of them before the server is killed, and as many at that moment. */
  readonly keyCount: number;
};

const STORMS = inForm<readonly Storm[]>({
  short: [{ grouping: 'on', server: 'postgres', keyCount: 150 }],
  long: [
    { grouping: 'off', server: 'postgres', keyCount: 60 },
    { grouping: 'off', server: 'temporal', keyCount: 60 },
    { grouping: 'on', server: 'postgres', keyCount: 250 },
    { grouping: 'on', server: 'temporal', keyCount: 250 },
  ],
});

describe('a server that is killed in the middle of a storm, and comes back', () => {
  let servers: OwnServers;
  let processes: { apis: Map<string, readonly SystemProcess[]>; worker: SystemProcess };
  let company: Company;
  beforeAll(async () => {
    servers = await startOwnServers();
    const startApis = async (grouping: string) => {
      const two = [1, 2].map(() => startApiProcess({ ...servers.environment, WRITE_GROUPING: grouping }));
      return [grouping, await Promise.all(two)] as const;
    };
    const groupings = [...new Set(STORMS.map(({ grouping }) => grouping))];
    const [worker, ...apis] = await Promise.all([startWorkerProcess(servers.environment), ...groupings.map(startApis)]);
    processes = { apis: new Map(apis), worker };
    company = await companyMaker(servers.owner, apis[0]?.[1][0]?.url ?? '')();
  });
  afterAll(async () => {
    await Promise.all([...processes.apis.values()].flat().map((process) => process.kill()));
    await processes.worker.kill();
    await servers?.stop();
  });

  test.each(STORMS)(
    '$server, grouping $grouping: each key gets its answer, and is one write',
    async ({ server, grouping, keyCount }) => {
      const invoiceId = await company.invoice();
      const apis = processes.apis.get(grouping) ?? [];
      const clients = apis.map(({ url }) => company.as('owner', url));
      let answered = 0;
      let tellSome = () => {};
      const someAnswers = new Promise<void>((resolve) => {
        tellSome = resolve;
      });
      const pay = async (index: number) => {
        const key = randomUUID();
        const body = paymentBody(invoiceId, index + 1);
        const send = () => (clients[index % 2] ?? company.api).post('/api/payments', body, { key });
        const { final, before } = await untilFinal(send);
        answered += 1;
        if (answered === 10) tellSome();
        return { key, final, before, again: send };
      };
      const payments = Array.from({ length: keyCount }, (_, index) => index);
      const storm = payments.slice(0, keyCount / 2).map(pay);
      await someAnswers;
      const crash = servers.crash(server, 1_500);
      // However quick the first were, these meet a server that is gone.
      storm.push(...payments.slice(keyCount / 2).map(pay));
      await crash;
      const ends = await Promise.all(storm);

      // Who was told to try again was told the truth: nothing is called failed that may have happened.
      const told = new Set(ends.flatMap(({ before }) => before));
      expect(told).not.toContain('write_failed');
      expect(told).not.toContain('internal_error');
      expect(told).not.toContain('no answer');
      for (const { key, final, again } of ends) {
        expectOneStory([final, await again()]);
        expect(await countEffects(servers.owner, { companyId: company.id, table: 'payments', key })).toMatchObject({
          writes: 1,
          rows: 1,
          entries: 1,
          newAudit: 1,
          failedAudit: 0,
          events: 1,
        });
      }
      const { rows } = await servers.owner.query('SELECT paid_minor::int AS paid FROM invoices WHERE id = $1', [
        invoiceId,
      ]);
      expect(rows[0].paid).toBe((keyCount * (keyCount + 1)) / 2);
      for (const { logs } of [...apis, processes.worker]) {
        expect(logs.filter(({ level }) => level === 60)).toEqual([]);
      }
    },
    300_000,
  );
});
