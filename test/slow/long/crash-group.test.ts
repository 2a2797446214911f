import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type CommitProxy, startCommitProxy } from '../../support/commit-proxy.ts';
import type { Company } from '../../support/companies.ts';
import { countEffects, paymentBody } from '../../support/effects.ts';
import { carrierOf, type Groups, startGroups, untilQueued } from '../../support/groups.ts';
import { holdInvoice, until, untilWaiting } from '../../support/held-invoice.ts';
import { expectOneStory } from '../../support/one-story.ts';
import { type SystemProcess, startApiProcess, startWorkerProcess } from '../../support/processes.ts';
import { keyWorkflow } from '../../support/runs.ts';
import { type System, startSystem } from '../../support/system.ts';

/** A group is taken over in 2 s; the start of a process on a busy machine takes longer. */
const TAKEOVER_MS = 240_000;

describe('processes killed in the middle of a group', () => {
  let system: System;
  let company: Company;
  let groups: Groups;
  let proxy: CommitProxy;
  let environment: Record<string, string>;
  beforeAll(async () => {
    // The API in here only takes the retries: its worker has another queue, and cannot be the one that takes over.
    system = await startSystem({ environment: { WRITE_GROUPING: 'on' } });
    company = await system.company();
    groups = await startGroups();
    proxy = await startCommitProxy(system.environment['DATABASE_URL'] ?? '');
    environment = {
      ...system.environment,
      ...groups.environment,
      TEMPORAL_TASK_QUEUE: `${system.environment['TEMPORAL_TASK_QUEUE']}_crash`,
      // What is held here is held longer than the lock time-out allows.
      STATEMENT_TIMEOUT_MS: '60000',
    };
  });
  afterAll(async () => {
    await system.stop();
    await groups.close();
    await proxy.close();
  });

  type Write = { readonly key: string; readonly body: ReturnType<typeof paymentBody> };

  const effects = ({ key }: Write) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });
  const once = { writes: 1, rows: 1, entries: 1, newAudit: 1, failedAudit: 0, events: 1 };
  const retry = ({ key, body }: Write) =>
    company.api.post('/api/payments', body, { key, headers: { prefer: 'wait=60' } });
  const untilMade = (writes: readonly Write[]) =>
    until('all writes', async () => (await Promise.all(writes.map(effects))).every((made) => made.writes === 1));

  async function start(kind: typeof startApiProcess, more: Record<string, string> = {}): Promise<SystemProcess> {
    const process = await kind({ ...environment, ...more });
    onTestFinished(() => process.kill());
    return process;
  }

  const paymentsOf = (names: readonly string[]): Promise<Write[]> =>
    Promise.all(names.map(async (key) => ({ key, body: paymentBody(await company.invoice()) })));

  /** The answers of the process that is going to be killed: none where it could give none any more. */
  function send(victim: SystemProcess, writes: readonly Write[], prefer = 'wait=60') {
    const client = company.as('owner', victim.url);
    return writes.map(({ key, body }) =>
      client.post('/api/payments', body, { key, headers: { prefer } }).catch(() => undefined),
    );
  }

  const holdAll = (writes: readonly Write[]) =>
    Promise.all(writes.map(({ body }) => holdInvoice(system.owner, body.invoiceId)));
  const releaseAll = (held: Awaited<ReturnType<typeof holdAll>>) => Promise.all(held.map(({ release }) => release()));

  /** What the worker has made alone is only replayed. */
  async function expectMadeWithoutClient(writes: readonly Write[]): Promise<void> {
    for (const write of writes) {
      expect(await effects(write)).toMatchObject({ ...once, replayedAudit: 0 });
      expectOneStory([await retry(write), await retry(write)], { firsts: 0 });
      expect(await effects(write)).toMatchObject({ ...once, replayedAudit: 2 });
    }
  }

  /** One that has committed and could not say so, two in their transactions, and one that has not begun. */
  async function killInTheMiddle(names: readonly string[]) {
    const writes = await paymentsOf(names);
    const [committed, ...others] = writes;
    if (committed === undefined) throw new Error('Bug! A write is missing');
    const running = others.slice(0, 2);
    const [first, ...held] = await holdAll(writes);
    // What waits for a lock has a quarter of the connections: three, all taken by the first three.
    const victim = await start(startApiProcess, { DATABASE_URL: proxy.url, DATABASE_POOL_MAX: '12' });
    const answers = await groups.together(victim.url, company, async () => {
      const held = send(victim, [committed, ...running]);
      // What arrives later begins later: the last gets no connection.
      await untilQueued(victim.url, held.length);
      return [...held, ...send(victim, others.slice(2))];
    });
    await untilWaiting(system.owner, 3);
    // By its key: the process commits other things, too.
    const commit = proxy.atNextCommit('hold the answer', committed.key);
    await first?.release();
    await commit;
    await victim.kill();
    expect(await Promise.all(answers)).toEqual(writes.map(() => undefined));
    expect((await Promise.all(writes.map(effects))).map((made) => made.writes)).toEqual([1, 0, 0, 0]);
    return { writes, held };
  }

  test(
    'the API: another worker finishes the group, without any client',
    async () => {
      const { writes, held } = await killInTheMiddle(['committed', 'running-1', 'running-2', 'to-come']);
      await start(startWorkerProcess);
      await releaseAll(held);
      await untilMade(writes);
      for (const { key } of writes) expect(await carrierOf(system.owner, company, key)).toMatch(/^group:/);
      await expectMadeWithoutClient(writes);
    },
    TAKEOVER_MS,
  );

  const AT_COMMIT = [
    { trouble: 'hold the commit', made: 0 },
    { trouble: 'hold the answer', made: 1 },
  ] as const;
  test.each(AT_COMMIT)(
    'the API at the COMMIT of a set ($trouble): all of it was made or nothing, and another worker finishes it',
    async ({ trouble, made }) => {
      const writes = await paymentsOf([1, 2, 3, 4].map((number) => `set-${trouble.replaceAll(' ', '-')}-${number}`));
      const victim = await start(startApiProcess, { DATABASE_URL: proxy.url });
      // By its key: the victim may also take over what the test before has left.
      const commit = proxy.atNextCommit(trouble, writes[0]?.key);
      const answers = await groups.together(victim.url, company, () => send(victim, writes));
      await commit;
      await victim.kill();
      expect(await Promise.all(answers)).toEqual(writes.map(() => undefined));
      const nothing = { writes: 0, rows: 0, entries: 0, newAudit: 0, failedAudit: 0, events: 0 };
      for (const write of writes) expect(await effects(write)).toMatchObject(made === 1 ? once : nothing);
      await start(startWorkerProcess);
      await untilMade(writes);
      await expectMadeWithoutClient(writes);
    },
    TAKEOVER_MS,
  );

  test(
    'the API: clients that come back to another process are answered at once, and the group finds their rows',
    async () => {
      const { writes, held } = await killInTheMiddle(['back-committed', 'back-1', 'back-2', 'back-to-come']);
      const retries = writes.map(retry);
      await releaseAll(held);
      // No worker of that group is there yet.
      for (const [index, answer] of (await Promise.all(retries)).entries()) {
        expectOneStory([answer], { firsts: index === 0 ? 0 : 1 });
      }
      await start(startWorkerProcess);
      const open = `TaskQueue = '${environment['TEMPORAL_TASK_QUEUE']}' AND ExecutionStatus = 'Running'`;
      await until('the group to close', async () => (await system.temporal.workflow.count(open)).count === 0);
      for (const write of writes) expect(await effects(write)).toMatchObject(once);
    },
    TAKEOVER_MS,
  );

  test(
    'the API and then the worker that has taken the group over: the next worker finishes it',
    async () => {
      const writes = await paymentsOf(['twice-1', 'twice-2']);
      const held = await holdAll(writes);
      const victim = await start(startApiProcess);
      const answers = await groups.together(victim.url, company, () => send(victim, writes));
      await untilWaiting(system.owner, 2);
      await victim.kill();
      expect(await Promise.all(answers)).toEqual([undefined, undefined]);
      // Sessions of killed processes wait on, until they get their lock and find no one to tell.
      const worker = await start(startWorkerProcess);
      await untilWaiting(system.owner, 4);
      await worker.kill();
      await start(startWorkerProcess);
      await untilWaiting(system.owner, 6);
      expect((await Promise.all(writes.map(effects))).map((made) => made.writes)).toEqual([0, 0]);
      await releaseAll(held);
      await untilMade(writes);
      for (const { key } of writes) expect(await carrierOf(system.owner, company, key)).toMatch(/^group:/);
      await expectMadeWithoutClient(writes);
    },
    TAKEOVER_MS,
  );

  test(
    'the API right after a 202: Temporal has a run of each, and a worker finishes them',
    async () => {
      const invoiceId = await company.invoice();
      const held = await holdInvoice(system.owner, invoiceId);
      const writes = Array.from({ length: 8 }, (_, index) => ({
        key: `accepted-${index}`,
        body: paymentBody(invoiceId, index + 1),
      }));
      const victim = await start(startApiProcess);
      const answers = await Promise.all(
        await groups.together(victim.url, company, () => send(victim, writes, 'respond-async')),
      );
      await victim.kill();
      expect(answers.map((answer) => answer?.status)).toEqual(writes.map(() => 202));
      for (const { key } of writes) {
        const run = await keyWorkflow(system.temporal, company, key).describe();
        expect([run.status.name, run.memo?.['operation']]).toEqual(['RUNNING', 'createPayment']);
        expect((await company.api.get(`/api/writes/${key}`)).json).toMatchObject({ key, state: 'running' });
      }
      await start(startWorkerProcess);
      await held.release();
      await untilMade(writes);
      await expectMadeWithoutClient(writes);
    },
    TAKEOVER_MS,
  );
});
