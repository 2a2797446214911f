import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildWorkflowBundle } from '../../../worker/bundle.ts';
import { withDatabase } from '../../cli/command.ts';
import { openHttp } from '../../client/http.ts';
import { type Baseline, startBaseline } from '../baseline/process.ts';
import { createBaselineSchema } from '../baseline/schema.ts';
import { type ApiProcess, type Grouping, startApiProcess } from './api-process.ts';
import { type BenchmarkCompany, createBenchmarkCompany, prepareInvoices } from './company.ts';
import { sendLoad } from './modes.ts';
import { createRig } from './rig.ts';
import { type Servers, startServers } from './servers.ts';

/** Everything that a benchmark runs against, started and stopped here. */
export type Session = {
  readonly servers: Servers;
  readonly company: BenchmarkCompany;
  readonly invoiceIds: readonly string[];
  readonly baseline: Baseline | undefined;
  readonly signal: AbortSignal;
  /** The API with that grouping; a running one with the other grouping is replaced. */
  api(grouping: Grouping): Promise<ApiProcess>;
  /** A further API with other settings, which runs until the session ends. */
  anotherApi(grouping: Grouping, difference: Difference): Promise<ApiProcess>;
  stop(): Promise<void>;
};

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
    const company = await withDatabase(databaseUrl, (owner) => createBenchmarkCompany(owner, secret));
    const bundle = await writeBundle(servers.folder);
    const start = (grouping: Grouping, difference: Difference = {}) =>
      startApiProcess({ servers, bundle, secret, signal, grouping, ...difference });
    const preparing = await start(options.grouping);
    stops.push(preparing.stop);
    log(`Preparing ${options.invoices} invoices through the API`);
    const invoiceIds = await prepareThrough(preparing, company, options.invoices, signal);
    await preparing.stop();
    const apis = keepOneApi({ start, company, invoiceIds, signal, log });
    stops.push(apis.stop);
    const baseline = options.withBaseline ? await openBaseline(servers, company, options) : undefined;
    if (baseline !== undefined) stops.push(baseline.stop);
    const anotherApi: Session['anotherApi'] = async (grouping, difference) => {
      const another = await start(grouping, difference);
      stops.push(another.stop);
      log('Warming up one more API');
      await warmUp(another, company, invoiceIds, signal);
      return another;
    };
    return { servers, company, invoiceIds, baseline, signal, api: apis.api, anotherApi, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Runs one API at a time, and warms it up after each start. */
function keepOneApi(options: {
  readonly company: BenchmarkCompany;
  readonly invoiceIds: readonly string[];
  readonly signal: AbortSignal;
  readonly log: Log;
  start(grouping: Grouping): Promise<ApiProcess>;
}): Pick<Session, 'api' | 'stop'> {
  const { company, invoiceIds, signal, log } = options;
  let current: { grouping: Grouping; process: ApiProcess } | undefined;
  const stop = async () => {
    await current?.process.stop();
    current = undefined;
  };
  return {
    async api(grouping) {
      signal.throwIfAborted();
      if (current?.grouping === grouping) return current.process;
      await stop();
      const process = await options.start(grouping);
      current = { grouping, process };
      log(`Warming up an API with grouping ${grouping}`);
      await warmUp(process, company, invoiceIds, signal);
      return process;
    },
    stop,
  };
}

async function warmUp(
  { url }: ApiProcess,
  { token }: BenchmarkCompany,
  invoiceIds: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const http = openHttp(url, { connections: Math.max(...WARM_UP_CLIENTS) });
  try {
    const rig = createRig(http, token, invoiceIds);
    for (const concurrency of WARM_UP_CLIENTS) {
      await sendLoad({ mode: 'new', concurrency, rate: undefined }, rig, { ...WARM_UP, signal });
    }
    await rig.settle();
  } finally {
    await http.close();
  }
}

async function openBaseline(
  servers: Servers,
  { companyId }: BenchmarkCompany,
  { log, signal }: { readonly log: Log; readonly signal: AbortSignal },
): Promise<Baseline> {
  const { temporalAddress, database } = servers;
  const { databaseUrl } = database;
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
  const http = openHttp(url, { connections: PREPARING_CONNECTIONS });
  try {
    return await prepareInvoices(http, token, invoices, signal);
  } finally {
    await http.close();
  }
}
