import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '../../../worker/client.ts';
import { withDatabase } from '../../cli/command.ts';
import { temporalTarget } from '../../cli/config.ts';
import { connectTarget } from '../../operator/setup-temporal.ts';
import { createRandom, seededNumbers } from '../../simulate/requests/random.ts';
import { pause, underLoad } from '../load.ts';
import { mixedClients, prepareBooks } from '../mix.ts';
import { kill, localSystem, VICTIMS } from '../processes.ts';
import type { Scenario, Stage, Trouble } from '../scenario.ts';

const CLIENTS_EACH = 4;
const PAUSE_MS = 100;
/** Of each client, until the heap of a process is as large as it stays. */
const WARM_UP_WRITES = 200;
const KILL_EVERY_MS = 60_000;
/** Before the kill, so that each one finds a system that has recovered. */
const CALM_MS = 30_000;
const SETTLE_TIMEOUT_MS = 60_000;
const POLL_MS = 1_000;
/** A process that started anew has not the memory of one that is warm, so some growth is no leak. */
const FLAT = 1.5;

export const soak: Scenario = {
  name: 'soak',
  promise: 'Under load with a kill a minute, memory, connections, submissions and open runs stay what they were.',
  needs: ['local'],
  companies: 4,
  async run(stage) {
    const books = await prepareBooks(stage, 4);
    const clients = () => mixedClients(stage, books, CLIENTS_EACH);
    const warmUp = { ...stage, run: `${stage.run}:warm` };
    await underLoad(warmUp, mixedClients(warmUp, books, CLIENTS_EACH, WARM_UP_WRITES));
    const start = await settled(stage);
    const ran = await underLoad(stage, clients(), { pauseMs: PAUSE_MS, trouble: () => killEachMinute(stage) });
    const end = await settled(stage);
    const names = Object.keys(start) as (keyof Sample)[];
    return {
      ...ran,
      facts: {
        kills: ran.troubles.length,
        ...Object.fromEntries(names.map((name) => [`${name}, start and end`, `${start[name]} and ${end[name]}`])),
      },
      violations: names
        .filter((name) => end[name] > start[name] * FLAT)
        .map((name) => `${name} grew from ${start[name]} to ${end[name]}`),
    };
  },
};

async function killEachMinute(stage: Stage): Promise<Trouble[]> {
  const random = createRandom(seededNumbers(`${stage.seed}:kills`), 0);
  const until = performance.now() + stage.seconds * 1_000;
  const troubles: Trouble[] = [];
  do {
    await pause(stage, CALM_MS);
    const victim = random.pick(VICTIMS);
    stage.progress.done(`kill ${troubles.length + 1}: ${victim}`);
    troubles.push(await kill(victim, stage));
    await pause(stage, KILL_EVERY_MS - CALM_MS);
  } while (performance.now() < until);
  return troubles;
}

/** What must not grow: of the system without load. */
type Sample = Record<
  'MB of the API' | 'MB of the worker' | 'connections to PostgreSQL' | 'submissions' | 'open runs',
  number
>;

/** The sample in which nothing is under way any more, or the last one. */
async function settled(stage: Stage): Promise<Sample> {
  const deadline = performance.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    await sleep(POLL_MS, undefined, { signal: stage.signal });
    const sample = await takeSample();
    if ((sample.submissions === 0 && sample['open runs'] === 0) || performance.now() > deadline) return sample;
  }
}

async function takeSample(): Promise<Sample> {
  const { databaseUrl, metricsUrls } = localSystem();
  const [api, worker, connections, runs] = await Promise.all([
    readMetrics(metricsUrls.api),
    readMetrics(metricsUrls.worker),
    countConnections(databaseUrl),
    countOpenRuns(),
  ]);
  const megabytes = (page: string) => Math.round(sum(page, 'process_resident_memory_bytes') / 2 ** 20);
  return {
    'MB of the API': megabytes(api),
    'MB of the worker': megabytes(worker),
    'connections to PostgreSQL': connections,
    submissions: sum(api, 'write_flights'),
    'open runs': runs,
  };
}

async function readMetrics(url: string): Promise<string> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`The metrics at ${url} cannot be read: ${response.status}`);
  return response.text();
}

function sum(page: string, metric: string): number {
  const samples = [...page.matchAll(new RegExp(`^${metric}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))];
  if (samples.length === 0) throw new Error(`The metric ${metric} is missing.`);
  return samples.reduce((total, [, value]) => total + Number(value), 0);
}

function countConnections(databaseUrl: string): Promise<number> {
  return withDatabase(databaseUrl, async (client) => {
    const { rows } = await client.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    return rows[0]?.n ?? 0;
  });
}

async function countOpenRuns(): Promise<number> {
  const target = temporalTarget();
  const connection = await connectTarget(target);
  try {
    const client = createClient(connection, target);
    return (await client.workflow.count(`WorkflowType IN ('write', 'writeGroup') AND ExecutionStatus = 'Running'`))
      .count;
  } finally {
    await connection.close();
  }
}
