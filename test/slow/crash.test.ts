import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Answer, patiently } from '../support/client.ts';
import { type CommitProxy, startCommitProxy } from '../support/commit-proxy.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { inForm } from '../support/form.ts';
import { holdInvoice, until, untilWaiting } from '../support/held-invoice.ts';
import { expectOneStory } from '../support/one-story.ts';
import { untilFinal } from '../support/persistent.ts';
import { type SystemProcess, startApiProcess, startWorkerProcess } from '../support/processes.ts';
import { startProxy, targetOf, through } from '../support/proxy.ts';
import { countRuns, statusOf } from '../support/runs.ts';
import { type System, startSystem } from '../support/system.ts';

/** Temporal waits 10 s for a killed process's workflow task before another gets it. */
const TAKEOVER_MS = 240_000;
const patient = { prefer: 'wait=60' };

describe('an API process killed in the middle of writes', () => {
  let system: System;
  let company: Company;
  let proxy: CommitProxy;
  let environment: Record<string, string>;
  beforeAll(async () => {
    // The API in here only takes the retries: its worker has another queue, and cannot be the one that takes over.
    system = await startSystem();
    company = await system.company();
    proxy = await startCommitProxy(system.environment['DATABASE_URL'] ?? '');
    environment = {
      ...system.environment,
      TEMPORAL_TASK_QUEUE: `${system.environment['TEMPORAL_TASK_QUEUE']}_crash`,
      // What is held here is held longer than the lock time-out allows.
      STATEMENT_TIMEOUT_MS: '60000',
    };
  });
  afterAll(async () => {
    await system.stop();
    await proxy.close();
  });

  const effects = (key: string) => countEffects(system.owner, { companyId: company.id, table: 'payments', key });
  const isOpen = async (key: string) =>
    (await statusOf(system.temporal, company, key).catch(() => undefined)) === 'RUNNING';

  async function start(kind: typeof startApiProcess, more: Record<string, string> = {}): Promise<SystemProcess> {
    const process = await kind({ ...environment, ...more });
    onTestFinished(() => process.kill());
    return process;
  }

  /** A request to the process that is going to be killed. Nobody hears of the answer, if there is one. */
  function send(victim: SystemProcess, body: unknown, key: string, headers: Record<string, string> = patient) {
    return company
      .as('owner', victim.url)
      .post('/api/payments', body, { key, headers })
      .catch(() => undefined);
  }
  const retry = (body: unknown, key: string) =>
    patiently(() => company.api.post('/api/payments', body, { key, headers: patient }));

  async function expectOneWrite(answers: readonly Answer[], key: string) {
    expectOneStory(answers, { firsts: 0 });
    expect(await effects(key)).toMatchObject({
      writes: 1,
      rows: 1,
      entries: 1,
      newAudit: 1,
      failedAudit: 0,
      events: 1,
    });
    expect(await countRuns(system.temporal, { company, key })).toBe(1);
    expect(await statusOf(system.temporal, company, key)).toBe('COMPLETED');
  }

  test(
    'at each boundary before the answer: a worker finishes the write, once, and the retry is answered',
    async () => {
      const [committed, running, accepted, started] = await Promise.all(
        ['committed', 'running', 'accepted', 'started'].map(async (key) => ({
          key,
          body: paymentBody(await company.invoice()),
        })),
      );
      if (!committed || !running || !accepted || !started) throw new Error('Bug! A write is missing');
      // What waits for a lock has a quarter of the connections: two, both taken before the fourth, which is started and gets none.
      const victim = await start(startApiProcess, { DATABASE_URL: proxy.url, DATABASE_POOL_MAX: '8' });

      // By its key, here and below: the process commits other things, too.
      const commit = proxy.atNextCommit('hold the answer', committed.key);
      void send(victim, committed.body, committed.key);
      await commit;
      const held = await holdInvoice(system.owner, running.body.invoiceId);
      void send(victim, running.body, running.key);
      await untilWaiting(system.owner, 1);
      const alsoHeld = await holdInvoice(system.owner, accepted.body.invoiceId);
      expect((await send(victim, accepted.body, accepted.key, { prefer: 'respond-async' }))?.status).toBe(202);
      await untilWaiting(system.owner, 2);
      const heldToo = await holdInvoice(system.owner, started.body.invoiceId);
      void send(victim, started.body, started.key);
      await until('the start', () => isOpen(started.key));
      await victim.kill();

      const writes = [committed, running, accepted, started];
      const counts = await Promise.all(writes.map(async ({ key }) => (await effects(key)).writes));
      expect(counts).toEqual([1, 0, 0, 0]);
      for (const { key } of writes) expect(await isOpen(key)).toBe(true);
      // The clients come back at once, and wait for whoever takes over.
      const retries = writes.map(({ body, key }) => retry(body, key));
      await Promise.all([held, alsoHeld, heldToo].map(({ release }) => release()));
      await start(startWorkerProcess);
      for (const [index, { body, key }] of writes.entries()) {
        const answer = await retries[index];
        if (answer === undefined) throw new Error('Bug! An answer is missing');
        await until('the run to close', async () => !(await isOpen(key)));
        await expectOneWrite([answer, await retry(body, key)], key);
      }
    },
    TAKEOVER_MS,
  );

  test.each(inForm({ short: [], long: ['after the workflow is done and before the HTTP answer'] }))(
    '%s: the retry is answered',
    async () => {
      const body = paymentBody(await company.invoice());
      const victim = await start(startApiProcess, { DATABASE_URL: proxy.url });
      const commit = proxy.atNextCommit('hold the answer', 'unanswered');
      void send(victim, body, 'unanswered');
      await commit;
      victim.freeze();
      await start(startWorkerProcess);
      await until('the worker to take over', async () => !(await isOpen('unanswered')));
      await victim.kill();
      expect((await effects('unanswered')).replayedAudit).toBe(0); // nobody has been told
      await expectOneWrite([await retry(body, 'unanswered'), await retry(body, 'unanswered')], 'unanswered');
    },
    TAKEOVER_MS,
  );

  test.each(
    inForm({
      short: [],
      long: [
        { grouping: 'off', keyCount: 60 },
        { grouping: 'on', keyCount: 300 },
      ],
    }),
  )(
    'in a storm, grouping $grouping: each key ends as one write, and no answer that went out is taken back',
    async ({ grouping, keyCount }) => {
      const victim = await start(startApiProcess, { WRITE_GROUPING: grouping });
      const invoiceId = await company.invoice();
      const keys = Array.from({ length: keyCount }, () => randomUUID());
      // Some hear of no answer, even where all are given before the kill: that is at the tenth answer and in the same moment,
      // but all the others may follow within a few milliseconds.
      const deaf = await startProxy(targetOf(victim.url));
      onTestFinished(deaf.close);
      deaf.cutAfter(0);
      const viaDeaf = { ...victim, url: through(victim.url, deaf) };
      let answered = 0;
      const answers = keys.map(async (key, index) => {
        const answer = await send(index % 3 === 0 ? viaDeaf : victim, paymentBody(invoiceId, index + 1), key);
        answered += 1;
        if (answered === 10) await victim.kill();
        return answer;
      });
      const firsts = await Promise.all(answers);
      await start(startWorkerProcess);
      expect(firsts.filter((answer) => answer === undefined)).not.toEqual([]);
      await Promise.all(
        keys.map(async (key, index) => {
          // On a busy machine longer than a request may wait.
          const { final: again } = await untilFinal(() => retry(paymentBody(invoiceId, index + 1), key));
          const first = firsts[index];
          // A refusal of a busy machine (503) is not an answer yet, either.
          const isAnswered = first !== undefined && first.json.retryable !== true && first.status !== 202;
          expectOneStory(isAnswered ? [first, again] : [again]);
        }),
      );
      for (const key of keys) {
        expect(await effects(key)).toMatchObject({
          writes: 1,
          rows: 1,
          entries: 1,
          newAudit: 1,
          failedAudit: 0,
          events: 1,
        });
      }
      const { rows } = await system.owner.query('SELECT paid_minor::int AS paid FROM invoices WHERE id = $1', [
        invoiceId,
      ]);
      expect(rows[0].paid).toBe((keyCount * (keyCount + 1)) / 2);
    },
    TAKEOVER_MS,
  );
});
