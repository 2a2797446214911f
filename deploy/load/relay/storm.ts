import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { withDatabase } from '../../cli/command.ts';
import { openPooledHttp } from '../../cli/pooled-http.ts';
import { count } from '../../client/src/repeat.ts';
import { type ApiProcess, startApiProcess } from '../benchmark/api-process.ts';
import { type BenchmarkCompany, createBenchmarkCompany, prepareInvoices } from '../benchmark/company.ts';
import { inTurn, payOnce } from '../benchmark/modes.ts';
import { createRig, type Rig } from '../benchmark/rig.ts';
import { startServers } from '../benchmark/servers.ts';
import { writeBundle } from '../benchmark/session.ts';
import { startWorkerProcess } from '../benchmark/worker-process.ts';
import { type Lag, watchLag } from '../lag.ts';
import { closedLoop } from '../loops.ts';
import { type Receiver, startReceiver } from './receiver.ts';

export type StormOptions = { readonly seconds: number; readonly concurrency: number; readonly drainSeconds: number };

export type StormResult = {
  readonly options: StormOptions;
  readonly writes: number;
  readonly seconds: number;
  /** How many events the company with the webhook has. */
  readonly owed: number;
  readonly calls: number;
  readonly worstLag: Lag;
  /** Seconds after the storm; undefined if it did not happen in time. */
  readonly numberedAfter: number | undefined;
  readonly deliveredAfter: number | undefined;
  readonly errors: Readonly<Record<string, number>>;
  readonly violations: readonly string[];
};

/** Three companies, one of them with a webhook: its calls must keep up and must not delay the other companies. */
const COMPANIES = 3;
const SPARE_INVOICES = 16;
const WARM_UP_MS = 1_000;

type Log = (line: string) => void;

export async function runStorm(options: StormOptions, signal: AbortSignal, log: Log): Promise<StormResult> {
  log('Starting separate PostgreSQL and Temporal servers');
  const servers = await startServers(log);
  const stops: (() => Promise<void>)[] = [() => servers.stop()];
  try {
    const secret = randomBytes(32).toString('hex');
    const bundle = await writeBundle(servers.folder);
    const receiver = await startReceiver();
    stops.push(() => receiver.close());
    return await withDatabase(servers.database.databaseUrl, async (owner) => {
      const companies: BenchmarkCompany[] = [];
      for (let made = 0; made < COMPANIES; made += 1) companies.push(await createBenchmarkCompany(owner, secret));
      const api = await startApiProcess({ servers, bundle, secret, grouping: 'on', signal });
      stops.push(() => api.stop());
      const worker = await startWorkerProcess({ servers, bundle, signal });
      stops.push(() => worker.stop());
      return await storm({ api, owner, companies, receiver, signal, log }, options);
    });
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function storm(
  setup: {
    readonly api: ApiProcess;
    readonly owner: pg.Client;
    readonly companies: readonly BenchmarkCompany[];
    readonly receiver: Receiver;
    readonly signal: AbortSignal;
    readonly log: Log;
  },
  options: StormOptions,
): Promise<StormResult> {
  const { owner, companies, receiver, signal, log } = setup;
  const http = openPooledHttp(setup.api.url, { connections: options.concurrency });
  try {
    const invoices = Math.ceil(options.concurrency / COMPANIES) + SPARE_INVOICES;
    log(`Preparing ${invoices * COMPANIES} invoices through the API`);
    const rigs: Rig[] = [];
    for (const { token } of companies) {
      rigs.push(createRig(http, token, await prepareInvoices(http, token, invoices, signal)));
    }
    const listener = companies[0]?.companyId;
    await owner.query('UPDATE companies SET webhook_url = $2 WHERE id = $1', [listener, receiver.url]);
    const watch = watchLag(owner, createLagLine(log));
    try {
      const nextRig = inTurn(rigs);
      const once = () => payOnce(nextRig());
      const window = { warmUpMs: WARM_UP_MS, measureMs: options.seconds * 1_000, signal };
      const measured = await closedLoop(options.concurrency, once, window);
      signal.throwIfAborted();
      log('The storm is over');
      const { numbered, delivered } = await watch.untilZero(options.drainSeconds);
      await watch.stop();
      const { owed, lost } = await compare(owner, listener as string, receiver);
      return {
        options,
        writes: measured.answered,
        seconds: measured.seconds,
        owed,
        calls: [...receiver.callsById.values()].reduce((sum, calls) => sum + calls, 0),
        worstLag: watch.worst,
        numberedAfter: numbered,
        deliveredAfter: delivered,
        errors: sumOf(rigs.map(({ errors }) => errors)),
        violations: [
          ...rigs.flatMap(({ violations }) => violations),
          ...(lost > 0 ? [`${lost} of ${owed} events were not received`] : []),
          ...(delivered === undefined ? [`webhook calls are still pending after ${options.drainSeconds} s`] : []),
        ],
      };
    } finally {
      await watch.stop();
    }
  } finally {
    await http.close();
  }
}

/** Compares the calls that the receiver got with the outbox events since the webhook was set. */
async function compare(owner: pg.Client, companyId: string, { callsById }: Receiver) {
  const { rows } = await owner.query<{ id: string }>(
    "SELECT id FROM outbox WHERE company_id = $1 AND delivery_state <> 'none'",
    [companyId],
  );
  return { owed: rows.length, lost: rows.filter(({ id }) => !callsById.has(id)).length };
}

function sumOf(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const [label, times] of counts.flatMap((one) => Object.entries(one))) count(sum, label, times);
  return sum;
}

const LOG_INTERVAL_MS = 10_000;

function createLagLine(log: Log): (lag: Lag) => void {
  let loggedAt = performance.now();
  return ({ notNumbered, pending }) => {
    if (performance.now() - loggedAt < LOG_INTERVAL_MS) return;
    loggedAt = performance.now();
    log(`${notNumbered} events without a number, ${pending} webhook calls pending`);
  };
}
