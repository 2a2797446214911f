import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { CrashPoint } from '../../activities/crash-points.ts';
import { setPolicies } from '../support/approvals.ts';
import { batchStory } from '../support/batch-story.ts';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import { crashAt } from '../support/crash-at.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { inForm } from '../support/form.ts';
import { until } from '../support/held-invoice.ts';
import { startApiProcess, startWorkerProcess } from '../support/processes.ts';
import { type System, startSystem } from '../support/system.ts';

/** Temporal waits 20 s for the heartbeat of a killed process's chunk, and the keeper 30 s for a word of a batch. */
const TAKEOVER_MS = 600_000;
/** Two chunks. */
const ROWS = 620;
const OF_API: readonly CrashPoint[] = ['upload: chunk stored', 'upload: batch queued'];
const OF_WORKER: readonly CrashPoint[] = [
  'chunk: claimed',
  'group: before its start',
  'group: taken',
  'chunk: group started',
  'set: before COMMIT',
  'set: after COMMIT',
  'transaction: before COMMIT',
  'transaction: after COMMIT',
  'chunk: outcomes found',
  'chunk: recorded',
];
const AT_ONCE = 3;

let system: System;
const table: string[] = [];
beforeAll(async () => {
  system = await startSystem();
});
afterAll(async () => {
  await system.stop();
  if (table.length > 0)
    process.stdout.write(`| Killed at | Rows | Doubled | Lost |\n|---|--:|--:|--:|\n${table.join('\n')}\n`);
});

/** With a task queue of its own: no other process takes its runs. */
async function prepare(point: CrashPoint) {
  const name = point.replaceAll(/\W+/g, '-');
  const environment = { TEMPORAL_TASK_QUEUE: `${system.environment['TEMPORAL_TASK_QUEUE']}-${name}` };
  const { url } = await system.another({ environment });
  const company = await system.company();
  const story = await batchStory(system.owner, company, ROWS, url);
  return {
    story,
    company,
    url,
    environment: { ...system.environment, ...environment },
    api: batchClient({ url }, company),
    at: (other: string) => batchClient({ url: other }, company),
  };
}

async function startVictim(start: typeof startApiProcess, environment: Record<string, string>, point: CrashPoint) {
  const victim = await start({ ...environment, ...crashAt(point) });
  onTestFinished(() => victim.kill());
  return victim;
}

/** In this process: nobody kills it, and it starts for a tenth of the CPU of a process. */
async function startSurvivor(environment: Record<string, string>): Promise<void> {
  const survivor = await startBatchWorker({ ...system, environment });
  onTestFinished(() => survivor.close());
}

const sent = { key: 'file', operation: 'createPayment' };

test.each(inForm({ short: OF_API.slice(0, 1), long: OF_API }))(
  'an API process that ends at "%s" leaves a batch that its client sends again, or need not',
  async (point) => {
    const { story, url, environment, api, at } = await prepare(point);
    const victim = await startVictim(startApiProcess, environment, point);
    await Promise.all([
      expect(at(victim.url).send(story.file, sent)).rejects.toThrow('fetch failed'),
      victim.untilCrashed(),
    ]);
    const left = await api.status('file');
    expect(left.json.state).toBe(point === 'upload: batch queued' ? 'queued' : 'receiving');
    await startSurvivor(environment);
    // What was queued is started by the worker, though its client never comes back.
    if (point !== 'upload: batch queued') await api.send(story.file, sent);
    const found = await story.expectTold(await api.over('file'), url);
    table.push(`| \`${point}\` | ${ROWS} | ${found.doubled} | ${found.lost} |`);
    const again = await api.send(story.file, sent);
    expect([again.status, again.replayed, again.json.state]).toEqual([202, true, 'completed']);
  },
  TAKEOVER_MS,
);

const ofForm = inForm({ short: OF_WORKER.slice(3, 4), long: OF_WORKER });
const rounds = Array.from({ length: Math.ceil(ofForm.length / AT_ONCE) }, (_, index) =>
  ofForm.slice(index * AT_ONCE, (index + 1) * AT_ONCE),
);

test.each(rounds.map((points) => [points.join('", "'), points] as const))(
  'a worker process that ends at "%s" leaves a batch that completes by itself',
  async (_, points) => {
    await Promise.all(points.map(endAt));
  },
  TAKEOVER_MS,
);

/** Rows that need an approval are in a file of their own, since each has a run to be started. */
test(
  'a worker process that ends after it has asked for approvals leaves a batch that knows of each, once',
  async () => {
    const point = 'chunk: approval asked for';
    const { url, environment, company } = await prepare(point);
    const invoiceId = await company.invoice({ total: 100_000_000 });
    await setPolicies(company, [{ operation: 'createPayment', amountFrom: 10_000, approverRoles: ['admin', 'owner'] }]);
    const api = batchClient({ url }, company, company.users.accountant.token);
    const rows = Array.from({ length: ROWS }, (_, index) => ({
      key: `waiting-${index}`,
      body: paymentBody(invoiceId, index % 155 === 0 ? 10_000 : 10),
    }));
    const waiting = rows.filter(({ body }) => body.amount === 10_000);
    const victim = await startVictim(startWorkerProcess, environment, point);
    await api.send(ndjson(rows), sent);
    await victim.untilCrashed();
    await startSurvivor(environment);
    const { json } = await api.over('file');
    const done = {
      pending: 0,
      pendingApproval: waiting.length,
      succeeded: ROWS - waiting.length,
      replayed: 0,
      failed: 0,
    };
    expect([json.state, json.counts]).toMatchObject(['completed', done]);
    for (const { key } of waiting) {
      expect((await company.as('admin', url).send('POST', `/api/writes/${key}/approve`)).json.state).toBe('succeeded');
    }
    expect((await api.status('file')).json.counts).toMatchObject({ pendingApproval: 0, succeeded: ROWS, replayed: 0 });
    for (const { key } of waiting) {
      const made = await countEffects(system.owner, { companyId: company.id, table: 'payments', key });
      expect([key, made]).toMatchObject([key, { rows: 1, entries: 1, newAudit: 1, replayedAudit: 0, events: 1 }]);
    }
    table.push(`| \`${point}\` | ${ROWS} | 0 | 0 |`);
  },
  TAKEOVER_MS,
);

async function endAt(point: CrashPoint) {
  const { story, url, environment, api } = await prepare(point);
  const victim = await startVictim(startWorkerProcess, environment, point);
  expect((await api.send(story.file, sent)).status).toBe(202);
  await victim.untilCrashed();
  const left = await api.status('file');
  expect([point, left.json.state]).toEqual([point, 'running']);
  await startSurvivor(environment);
  await until(
    `the batch that was left at ${point}`,
    async () => (await api.status('file')).json.state === 'completed',
    300_000,
  );
  const found = await story.expectTold(await api.over('file'), url);
  table.push(`| \`${point}\` | ${ROWS} | ${found.doubled} | ${found.lost} |`);
}
