import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer } from '../../support/client.ts';
import type { Company } from '../../support/companies.ts';
import { timeLimit } from '../../support/form.ts';
import { type Groups, readGauge, startGroups } from '../../support/groups.ts';
import { until } from '../../support/held-invoice.ts';
import { untilFinal } from '../../support/persistent.ts';
import {
  type Asked,
  ask,
  type KeyModel,
  type SubmitModel,
  type SubmitRun,
  submitCommands,
  TAKEN_REFERENCE,
} from '../../support/submit-commands.ts';
import { contradictions } from '../../support/submit-judgement.ts';
import { type System, startSystem } from '../../support/system.ts';
import { type Trouble, troubledCustomer } from '../../support/troubled-customer.ts';

const MAX_COMMANDS = 40;
/** Answers that come about in any search worth its name. */
const KINDS = [201, 202, 'write_cancelled', 'idempotency_key_reused', 'idempotency_in_progress'];
/** An accepted write needs no client; a killed run's key or a busy machine takes a while. */
const GOES_ON_WITHIN_MS = 20_000;
const ENDS_WITHIN_MS = 20_000;
/** The search ends after the run that is under way at its limit. */
const LONGEST_RUN_MS = 90_000;

/** So many runs of up to MAX_COMMANDS commands, or as many as the time allows. */
const SEARCHES = [
  { grouping: 'on', runs: 60, limitMs: 120_000 },
  { grouping: 'off', runs: 20, limitMs: 60_000 },
];

describe.each(SEARCHES)('whatever arrives, in whatever order, grouping $grouping', ({ grouping, runs, limitMs }) => {
  const troubles = new Map<string, Trouble[]>();
  let groups: Groups;
  let system: System;
  let company: Company;
  let urls: [string, string];
  beforeAll(async () => {
    groups = await startGroups();
    system = await startSystem({
      environment: { WRITE_GROUPING: grouping },
      operations: [troubledCustomer(troubles)],
    });
    const { url } = await system.another({
      environment: { ...groups.environment, WRITE_GROUPING: grouping },
    });
    urls = [url, system.url];
    company = await system.company();
    await company.api.created('/api/customers', { name: 'Taken', externalReference: TAKEN_REFERENCE });
  });
  afterAll(async () => {
    await system.stop();
    await groups.close();
  });

  test(
    'each key has one outcome, and every answer tells it or what was true before',
    async () => {
      let count = 0;
      const seen = new Set<string | number>();
      const isOver = timeLimit(limitMs);
      const property = fc.asyncProperty(submitCommands(MAX_COMMANDS), async (commands) => {
        if (isOver()) return;
        count += 1;
        const model: SubmitModel = { keys: new Map<string, KeyModel>(), linkWasFrozen: false, firstNumber: 0 };
        const run: SubmitRun = {
          system,
          company,
          urls,
          groups,
          troubles,
          name: `run${count}`,
          asked: [],
          cancelled: [],
          unfounded: [],
        };
        try {
          await fc.asyncModelRun(() => ({ model, real: run }), commands);
        } finally {
          groups.open();
        }
        const asked = await Promise.all(run.asked);
        for (const { answer } of asked) seen.add(answer.json.code ?? answer.status);
        const cancelled = await Promise.all(run.cancelled);
        expect(await contradictions(model, run, [...asked, ...(await settle(model, run, asked))], cancelled)).toEqual(
          [],
        );
      });
      // What raced cannot be raced again in the same way: nothing to shrink.
      await fc.assert(property, { numRuns: runs, endOnFailure: true });
      // What chance has left out gets more runs.
      while (KINDS.some((kind) => !seen.has(kind)) && !isOver()) await fc.assert(property, { numRuns: 1 });
      // A run in which none of this comes about would show nothing.
      expect(KINDS.filter((kind) => !seen.has(kind))).toEqual([]);
      // Waves arrive while no start gets through: with grouping on, some leave together in each run; with it off, none ever.
      const grouped = await countGrouped();
      expect(grouped).toSatisfy((groups: number) => (grouping === 'on' ? groups >= count : groups === 0));
    },
    LONGEST_RUN_MS + limitMs * 2,
  );

  /** What was accepted goes on by itself; all else is sent again until there is a definite answer. Then nothing is under way. */
  async function settle(model: SubmitModel, run: SubmitRun, asked: readonly Asked[]): Promise<Asked[]> {
    const accepted = asked.filter(({ answer }) => answer.status === 202).map(({ key }) => key);
    const surely = accepted.filter((key) => {
      const { ended, troubles: met } = model.keys.get(key) ?? { ended: true, troubles: new Set<Trouble>() };
      return !ended && !met.has('bug');
    });
    await until(
      'what was accepted',
      async () => (await outcomesOf(surely)) === new Set(surely).size,
      GOES_ON_WITHIN_MS,
    );
    for (const key of model.keys.keys()) troubles.delete(key);

    const again: Asked[] = [];
    for (const [key, { bodies }] of model.keys) {
      for (const body of bodies) {
        const answers: Answer[] = [];
        await untilFinal(async () => {
          const { answer } = await ask(run, key, body, 'wait=5', 1);
          answers.push(answer);
          return answer;
        });
        again.push(...answers.map((answer) => ({ key, body, prefer: 'wait=5' as const, answer })));
      }
    }
    await until('all submissions to end', async () => (await underWay()) === 0, ENDS_WITHIN_MS);
    return again;
  }

  async function outcomesOf(keys: readonly string[]): Promise<number> {
    const { rows } = await system.owner.query(
      'SELECT count(*)::int AS n FROM idempotent_writes WHERE company_id = $1 AND idempotency_key = ANY ($2)',
      [company.id, keys],
    );
    return rows[0].n;
  }

  async function countGrouped(): Promise<number> {
    const { rows } = await system.owner.query(
      "SELECT count(*)::int AS n FROM idempotent_writes WHERE company_id = $1 AND starts_with(workflow_id, 'group:')",
      [company.id],
    );
    return rows[0].n;
  }

  /** Submissions and queues of both processes, and runs that Temporal has open. */
  async function underWay(): Promise<number> {
    const gauges = urls.flatMap((url) => ['write_flights', 'write_starts_queued'].map((name) => readGauge(url, name)));
    const open = system.temporal.workflow.count(
      `TaskQueue = '${system.environment['TEMPORAL_TASK_QUEUE']}' AND ExecutionStatus = 'Running'`,
    );
    return (await Promise.all(gauges)).reduce((sum, value) => sum + value, (await open).count);
  }
});
