import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { CRASH_POINTS, type CrashPoint } from '../../activities/crash-points.ts';
import { withTimeout } from '../../worker/timeouts.ts';
import { auditMonths, openMaintenancePool } from '../support/audit-months.ts';
import { type Answer, patiently } from '../support/client.ts';
import { ownerUrlOf, runCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { crashAt } from '../support/crash-at.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { inForm } from '../support/form.ts';
import { until } from '../support/held-invoice.ts';
import { expectOneStory } from '../support/one-story.ts';
import { startApiProcess, startWorkerProcess } from '../support/processes.ts';
import { startReceiver } from '../support/receiver.ts';
import { startRelay } from '../support/relay.ts';
import { type System, startSystem } from '../support/system.ts';

/** Temporal waits 10 s for a killed process's workflow task before another gets it. */
const TAKEOVER_MS = 240_000;
/** Each takes two API processes: more at once, and a busy machine connects none of them in time. */
const AT_ONCE = 5;
/** Enough that some of them wait for their start, and travel in a group. */
const REQUESTS_OF_A_GROUP = 30;
/** Without the end of the process, more requests are sent. */
const AGAIN_MS = 15_000;

type Write = { readonly key: string; readonly body: ReturnType<typeof paymentBody> };

type Boundary = {
  readonly point: CrashPoint;
  readonly requests: number;
  /** How many writes the database has when the process is gone. */
  readonly made: 'none' | 'all' | 'some' | 'any';
};

const BOUNDARIES: readonly Boundary[] = [
  { point: 'start: before', requests: 1, made: 'none' },
  { point: 'start: taken', requests: 1, made: 'none' },
  { point: 'transaction: before COMMIT', requests: 1, made: 'none' },
  { point: 'transaction: after COMMIT', requests: 1, made: 'all' },
  { point: 'outcome: handed over', requests: 1, made: 'all' },
  { point: 'answer: before', requests: 1, made: 'all' },
  { point: 'group: before its start', requests: REQUESTS_OF_A_GROUP, made: 'any' },
  { point: 'group: taken', requests: REQUESTS_OF_A_GROUP, made: 'any' },
  { point: 'set: before COMMIT', requests: REQUESTS_OF_A_GROUP, made: 'any' },
  { point: 'set: after COMMIT', requests: REQUESTS_OF_A_GROUP, made: 'some' },
];
/** After the COMMIT of a write alone, and before and after that of a set. */
const OF_SHORT_FORM = BOUNDARIES.filter(({ point }) =>
  ['transaction: after COMMIT', 'group: taken', 'set: after COMMIT'].includes(point),
);
/** Those of batches are tried in batch-crash-points.test.ts, that of the seal in sealer.test.ts. */
const ELSEWHERE: readonly CrashPoint[] = [
  'seal: before COMMIT',
  'upload: chunk stored',
  'upload: batch queued',
  'chunk: claimed',
  'chunk: group started',
  'chunk: approval asked for',
  'chunk: outcomes found',
  'chunk: recorded',
  'audit: before',
  'audit: written',
  'relay: workflow started',
  'relay: batch started',
  'delivery: called',
  'archive: exported',
];

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem({ environment: { WEBHOOK_ALLOW_PRIVATE: '1' } });
  company = await system.company();
});
afterAll(() => system.stop());

test('every point at which a process may end is tried here', () => {
  const tried = [...BOUNDARIES.map(({ point }) => point), ...ELSEWHERE];
  expect(tried.toSorted()).toEqual(Object.keys(CRASH_POINTS).toSorted());
});

describe('an API process that ends', () => {
  const once = { writes: 1, rows: 1, entries: 1, newAudit: 1, failedAudit: 0, events: 1 };
  const effects = (company: Company, key: string) =>
    countEffects(system.owner, { companyId: company.id, table: 'payments', key });

  test(
    'at any boundary of a write leaves all of it or nothing, and the retry gets its one outcome',
    async () => {
      const boundaries = inForm({ short: OF_SHORT_FORM, long: BOUNDARIES });
      for (let first = 0; first < boundaries.length; first += AT_ONCE) {
        await Promise.all(boundaries.slice(first, first + AT_ONCE).map(endAtBoundary));
      }
    },
    2 * TAKEOVER_MS,
  );

  /** With a task queue and a company of its own: no other process takes its runs, and no other's locks are in its way. */
  async function endAtBoundary({ point, requests, made }: Boundary) {
    const environment = { TEMPORAL_TASK_QUEUE: `${system.environment['TEMPORAL_TASK_QUEUE']}-${keyOf(point)}` };
    const own = await system.company();
    const customerId = await own.customer();
    const send = (url: string, { key, body }: Write) =>
      own.as('owner', url).post('/api/payments', body, { key, headers: { prefer: 'wait=60' } });

    const victim = await startApiProcess({ ...system.environment, ...environment, ...crashAt(point) });
    onTestFinished(() => victim.kill());
    const crashed = victim.untilCrashed();
    const writes: Write[] = [];
    const answered: Promise<Answer | undefined>[] = [];
    // On a busy machine the first ones may all travel alone.
    do {
      // Of invoices of their own: a set that meets a lock comes to nothing.
      const more: Write[] = [];
      for (let index = 0; index < requests; index += 1) {
        const key = `${keyOf(point)}-${writes.length + index + 1}`;
        more.push({ key, body: paymentBody(await own.invoice({ customerId })) });
      }
      writes.push(...more);
      answered.push(...more.map((write) => send(victim.url, write).catch(() => undefined)));
    } while (
      (await withTimeout(
        crashed.then(() => 'crashed'),
        AGAIN_MS,
      )) === undefined
    );
    const firsts = await Promise.all(answered);
    const rows = await Promise.all(writes.map(async ({ key }) => (await effects(own, key)).writes));
    const sum = rows.reduce((total, count) => total + count, 0);
    const isSo = { none: sum === 0, any: true, some: sum > 1, all: sum === writes.length }[made];
    expect({ point, made, sum, isSo }).toMatchObject({ isSo: true });

    const survivor = await system.another({ environment });
    await Promise.all(
      writes.map(async (write, index) => {
        const retry = () => patiently(() => send(survivor.url, write));
        const answers = [firsts[index], await retry(), await retry()].filter((answer) => answer !== undefined);
        expectOneStory(answers as Answer[]);
        expect([write.key, await effects(own, write.key)]).toEqual([write.key, expect.objectContaining(once)]);
      }),
    );
    const paid = await system.owner.query('SELECT sum(paid_minor)::int AS paid FROM invoices WHERE company_id = $1', [
      own.id,
    ]);
    expect(paid.rows[0].paid).toBe(writes.reduce((sum, { body }) => sum + body.amount, 0));
  }

  test.each(
    inForm<readonly { point: CrashPoint; replaysRecorded: number }[]>({
      short: [],
      long: [
        { point: 'audit: before', replaysRecorded: 1 },
        { point: 'audit: written', replaysRecorded: 2 },
      ],
    }),
  )('at $point of a replay has not answered it, and the next one is answered', async (at) => {
    const key = keyOf(at.point);
    const body = paymentBody(await company.invoice());
    const first = await company.api.post('/api/payments', body, { key });
    const victim = await startApiProcess({ ...system.environment, ...crashAt(at.point) });
    onTestFinished(() => victim.kill());
    const unanswered = company.as('owner', victim.url).post('/api/payments', body, { key });
    await expect(unanswered).rejects.toThrow('fetch failed');
    await victim.untilCrashed();
    expectOneStory([first, await company.api.post('/api/payments', body, { key })], { firsts: 1 });
    expect(await effects(company, key)).toMatchObject({ ...once, replayedAudit: at.replaysRecorded });
  });
});

test.each(
  inForm<readonly CrashPoint[]>({
    short: [],
    long: ['relay: workflow started', 'relay: batch started', 'delivery: called'],
  }),
)(
  'a worker process that ends at "%s" loses no event, and has nothing started twice',
  async (point) => {
    const receiver = await startReceiver();
    onTestFinished(() => receiver.close());
    const own = await system.company();
    await system.owner.query('UPDATE companies SET webhook_url = $2 WHERE id = $1', [own.id, receiver.url]);
    const victim = await startWorkerProcess({ ...system.environment, ...crashAt(point) });
    onTestFinished(() => victim.kill());
    await own.customer();
    const { workflowId } = await own.api.created('/api/workflows/sendInvoiceReminders/trigger', {
      payload: { asOf: '2020-01-01' },
    });
    await victim.untilCrashed();

    // Nobody kills it: it needs no process of its own.
    const survivor = await startRelay(system);
    onTestFinished(() => survivor.close());
    const states = async () =>
      (await system.owner.query('SELECT id, delivery_state AS state FROM outbox WHERE company_id = $1', [own.id])).rows;
    await until('every event to be delivered', async () =>
      (await states()).every(({ state }) => state === 'delivered'),
    );
    const called = receiver.calls.map(({ headers }) => headers['webhook-id']);
    expect(new Set(called)).toEqual(new Set((await states()).map(({ id }) => id)));
    expect(called.length > new Set(called).size).toBe(point === 'delivery: called');
    expect(await countRunsOf(workflowId)).toBe(1);
  },
  TAKEOVER_MS,
);

test.each(inForm<readonly CrashPoint[]>({ short: [], long: ['archive: exported'] }))(
  'an archive command that ends at "%s" is simply run again',
  async (point) => {
    const pool = openMaintenancePool(system);
    const folder = mkdtempSync(join(tmpdir(), 'accubooks-archive-'));
    onTestFinished(async () => {
      await pool.close();
      rmSync(folder, { recursive: true });
    });
    const months = auditMonths(system, company, pool);
    await months.make('2025-04');
    const rows = await months.rowsOf('2025-04');
    const environment = { DATABASE_URL: ownerUrlOf(system.owner), AUDIT_ARCHIVE_DIR: folder };
    const run = (more: Record<string, string> = {}) =>
      runCommand('deploy/operator/audit/main.ts', ['run'], { ...environment, ...more });
    const crashed = await run(crashAt(point));
    expect(crashed.code).not.toBe(0);
    expect(await months.rowsOf('2025-04')).toEqual(rows);
    expect(await run()).toMatchObject({ code: 0 });
    const verified = await runCommand('deploy/operator/audit/main.ts', ['verify', '--month', '2025-04'], environment);
    expect(verified).toMatchObject({ code: 0 });
  },
);

function keyOf(point: CrashPoint): string {
  return point.replaceAll(/\W+/g, '-');
}

async function countRunsOf(workflowId: string): Promise<number> {
  const { count } = await system.temporal.workflow.count(`WorkflowId = '${workflowId}'`);
  return count;
}
