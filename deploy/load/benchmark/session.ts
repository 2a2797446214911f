import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildWorkflowBundle } from '../../../worker/bundle.ts';
import { withDatabase } from '../../cli/command.ts';
import { openPooledHttp, type PooledHttp } from '../../cli/pooled-http.ts';
import { type Baseline, startBaseline } from '../baseline/process.ts';
import { createBaselineSchema } from '../baseline/schema.ts';
import { type ApiProcess, type Grouping, startApiProcess } from './api-process.ts';
import { type BenchmarkCompany, createBenchmarkCompany, prepareInvoices } from './company.ts';
import { inTurn, sendLoad } from './modes.ts';
import { createRig } from './rig.ts';
import { type Servers, startServers } from './servers.ts';

/** Everything that a benchmark runs against, started and stopped here. */
export type Session = {
  readonly servers: Servers;
  /** The path of the workflow bundle. */
  readonly bundle: string;
  readonly payers: readonly Payer[];
  readonly baseline: Baseline | undefined;
  readonly signal: AbortSignal;
  /** The API processes with that grouping; running ones with the other grouping are replaced. */
  apis(grouping: Grouping): Promise<readonly ApiProcess[]>;
  /** A further API with other settings, which runs until the session ends. */
  anotherApi(grouping: Grouping, difference: Difference): Promise<ApiProcess>;
  stop(): Promise<void>;
};

/** A company with invoices that it pays. */
type Payer = BenchmarkCompany & { readonly invoiceIds: readonly string[] };

/** From the API as production starts it. */
type Difference = Pick<Parameters<typeof startApiProcess>[0], 'instrumentation' | 'environment'>;

const PREPARING_CONNECTIONS = 64;
/**
 * A process that has just started runs code that the JIT has not compiled yet: three times slower, as measured. So each side
 * warms up first; ours also with one client, which uses the key lane.
 */
const WARM_UP = { warmUpMs: 0, measureMs: 3_000 } as const;
const WARM_UP_CLIENTS = [32, 1] as const;

type Log = (line: string) => void;

export async function openSession(options: {
  readonly companies: number;
  /** API processes at once. */
  readonly processes: number;
  /** Of each company. */
  readonly invoices: number;
  readonly withBaseline: boolean;
  /** The grouping of the API that prepares the data. */
  readonly grouping: Grouping;
  readonly signal: AbortSignal;
  readonly log: Log;
}): Promise<Session> {
  const { log, signal } = options;
  log('Starting separate PostgreSQL and Temporal servers');
  const servers = await startServers(log);
  const stops = [() => servers.stop()];
  const stop = async () => {
    for (const stopOne of stops.reverse()) await stopOne();
  };
  try {
    const secret = randomBytes(32).toString('hex');
    const { databaseUrl } = servers.database;
    const bundle = await writeBundle(servers.folder);
    const start = (grouping: Grouping, difference: Difference = {}) =>
      startApiProcess({ servers, bundle, secret, signal, grouping, ...difference });
    const preparing = await start(options.grouping);
    stops.push(preparing.stop);
    log(`Preparing ${options.invoices * options.companies} invoices through the API`);
    const payers: Payer[] = [];
    while (payers.length < options.companies) {
      const company = await withDatabase(databaseUrl, (owner) => createBenchmarkCompany(owner, secret));
      payers.push({ ...company, invoiceIds: await prepareThrough(preparing, company, options.invoices, signal) });
    }
    await preparing.stop();
    const kept = keepApis({ start, payers, processes: options.processes, signal, log });
    stops.push(kept.stop);
    const baseline = options.withBaseline ? await openBaseline(servers, payers, options) : undefined;
    if (baseline !== undefined) stops.push(baseline.stop);
    const anotherApi: Session['anotherApi'] = async (grouping, difference) => {
      const another = await start(grouping, difference);
      stops.push(another.stop);
      log('Warming up one more API');
      await warmUp([another], payers, signal);
      return another;
    };
    return { servers, bundle, payers, baseline, signal, apis: kept.apis, anotherApi, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Runs API processes of one grouping at a time, and warms them up after each start. */
function keepApis(options: {
  readonly payers: readonly Payer[];
  readonly processes: number;
  readonly signal: AbortSignal;
  readonly log: Log;
  start(grouping: Grouping): Promise<ApiProcess>;
}): Pick<Session, 'apis' | 'stop'> {
  const { payers, signal, log } = options;
  let current: { readonly grouping: Grouping; readonly processes: readonly ApiProcess[] } | undefined;
  const stop = async () => {
    for (const process of current?.processes ?? []) await process.stop();
    current = undefined;
  };
  return {
    async apis(grouping) {
      signal.throwIfAborted();
      if (current?.grouping === grouping) return current.processes;
      await stop();
      const processes: ApiProcess[] = [];
      current = { grouping, processes };
      while (processes.length < options.processes) processes.push(await options.start(grouping));
      log(`Warming up ${processes.length === 1 ? 'an API' : `${processes.length} APIs`} with grouping ${grouping}`);
      await warmUp(processes, payers, signal);
      return processes;
    },
    stop,
  };
}

async function warmUp(apis: readonly ApiProcess[], payers: readonly Payer[], signal: AbortSignal): Promise<void> {
  const http = openHttpInTurn(apis, Math.max(...WARM_UP_CLIENTS));
  try {
    const rigs = payers.map(({ token, invoiceIds }) => createRig(http, token, invoiceIds));
    for (const concurrency of WARM_UP_CLIENTS) {
      await sendLoad({ mode: 'new', concurrency, rate: undefined }, rigs, { ...WARM_UP, signal });
    }
    for (const rig of rigs) await rig.settle();
  } finally {
    await http.close();
  }
}

/** Sends each request to the next process, as a load balancer does; `connections` to each. */
export function openHttpInTurn(apis: readonly Pick<ApiProcess, 'url'>[], connections: number): PooledHttp {
  const all = apis.map(({ url }) => openPooledHttp(url, { connections }));
  const next = inTurn(all);
  return {
    send: (request) => next().send(request),
    async close() {
      await Promise.all(all.map((http) => http.close()));
    },
  };
}

async function openBaseline(
  servers: Servers,
  payers: readonly Payer[],
  { log, signal }: { readonly log: Log; readonly signal: AbortSignal },
): Promise<Baseline> {
  const { temporalAddress, database } = servers;
  const { databaseUrl } = database;
  const { companyId } = payers[0] as Payer;
  await withDatabase(databaseUrl, (owner) => createBaselineSchema(owner, companyId));
  const baseline = await startBaseline({ databaseUrl, temporalAddress, companyId });
  // It measures in its own process, which Ctrl-C does not reach.
  signal.addEventListener('abort', () => void baseline.stop(), { once: true });
  log('Warming up the baseline');
  for (const kind of ['temporal', 'sql'] as const) await baseline.measure({ kind, concurrency: 32, ...WARM_UP });
  return baseline;
}

export async function writeBundle(folder: string): Promise<string> {
  const bundle = join(folder, 'workflow-bundle.js');
  writeFileSync(bundle, (await buildWorkflowBundle()).code);
  return bundle;
}

export async function prepareThrough(
  { url }: Pick<ApiProcess, 'url'>,
  { token }: BenchmarkCompany,
  invoices: number,
  signal: AbortSignal,
): Promise<string[]> {
  const http = openPooledHttp(url, { connections: PREPARING_CONNECTIONS });
  try {
    return await prepareInvoices(http, token, invoices, signal);
  } finally {
    await http.close();
  }
}
