import { afterAll, beforeAll, expect, test } from 'vitest';
import { batchStory } from '../support/batch-story.ts';
import { batchClient } from '../support/batches.ts';
import { companyMaker } from '../support/companies.ts';
import { inForm } from '../support/form.ts';
import { until } from '../support/held-invoice.ts';
import { type OwnServers, startOwnServers } from '../support/own-servers.ts';
import { type SystemProcess, startApiProcess, startWorkerProcess } from '../support/processes.ts';

/** What a batch survives without anyone's help: the end of each server, and of each process, in the middle of it. */
const LIMIT_MS = 600_000;
const ROWS = inForm({ short: 1_200, long: 3_000 });
const DOWN_MS = 1_500;

let servers: OwnServers;
let api: SystemProcess;
let worker: SystemProcess;
const table: string[] = [];
beforeAll(async () => {
  servers = await startOwnServers();
  [api, worker] = await Promise.all([startApiProcess(servers.environment), startWorkerProcess(servers.environment)]);
});
afterAll(async () => {
  await Promise.all([api.kill(), worker.kill()]);
  await servers.stop();
  process.stdout.write(`| Killed | Rows | Doubled | Lost |\n|---|--:|--:|--:|\n${table.join('\n')}\n`);
});

const ENDS: Readonly<Record<string, () => Promise<void>>> = {
  PostgreSQL: () => servers.crash('postgres', DOWN_MS),
  Temporal: () => servers.crash('temporal', DOWN_MS),
  'the worker process': async () => {
    await worker.kill();
    worker = await startWorkerProcess(servers.environment);
  },
  'all of them': async () => {
    await Promise.all([
      api.kill(),
      worker.kill(),
      servers.crash('postgres', DOWN_MS),
      servers.crash('temporal', DOWN_MS),
    ]);
    [api, worker] = await Promise.all([startApiProcess(servers.environment), startWorkerProcess(servers.environment)]);
  },
};

test.each(inForm({ short: ['Temporal'], long: Object.keys(ENDS) }))(
  'after kill -9 of %s in the middle of a batch it completes by itself, each row once',
  async (name) => {
    const company = await companyMaker(servers.owner, api.url)();
    const story = await batchStory(servers.owner, company, ROWS, api.url);
    const client = () => batchClient({ url: api.url }, company);
    expect((await client().send(story.file, { key: 'file', operation: 'createPayment' })).status).toBe(202);
    const written = async () => {
      const { rows } = await servers.owner.query('SELECT count(*)::int AS n FROM payments WHERE company_id = $1', [
        company.id,
      ]);
      return rows[0].n as number;
    };
    const before = await written();
    await until('some rows to be written', async () => (await written()) > before);
    await ENDS[name]?.();
    await until(
      'the batch to be completed',
      async () => {
        const answer = await client()
          .status('file')
          .catch(() => undefined);
        return answer?.json?.state === 'completed';
      },
      300_000,
    );
    const found = await story.expectTold(await client().over('file'), api.url);
    table.push(`| ${name} | ${ROWS} | ${found.doubled} | ${found.lost} |`);
  },
  LIMIT_MS,
);
