import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildWorkflowBundle } from '../../../worker/bundle.ts';
import { openHttp } from '../../client/http.ts';
import { withDatabase } from '../../operator/command.ts';
import { type Baseline, startBaseline } from '../baseline/process.ts';
import { createBaselineSchema } from '../baseline/schema.ts';
import { type ApiProcess, type Grouping, startApiProcess } from './api-process.ts';
import { type BenchmarkCompany, createBenchmarkCompany, prepareInvoices } from './company.ts';
import { type Servers, startServers } from './throwaway.ts';

/** Everything that a benchmark runs against: started here, ended here. */
export type Session = {
  readonly servers: Servers;
  readonly company: BenchmarkCompany;
  readonly invoiceIds: readonly string[];
  readonly baseline: Baseline | undefined;
  readonly signal: AbortSignal;
  /** The one API there is, started anew when it is to work in the other way. */
  api(grouping: Grouping): Promise<ApiProcess>;
  stop(): Promise<void>;
};

const PREPARING_CONNECTIONS = 64;
/** A process that has just started runs code that is not compiled yet: three times slower, measured. */
const WARM_UP_INVOICES = 150;
const BASELINE_WARM_UP = { concurrency: 32, warmUpMs: 0, measureMs: 3_000 } as const;

type Log = (line: string) => void;

export async function openSession(options: {
  readonly invoices: number;
  readonly withBaseline: boolean;
  /** The first to be asked for; it prepares the data. */
  readonly grouping: Grouping;
  readonly signal: AbortSignal;
  readonly log: Log;
}): Promise<Session> {
  const { log, signal } = options;
  log('Starting PostgreSQL and Temporal of its own');
  const servers = await startServers(log);
  const stops = [() => servers.stop()];
  const stop = async () => {
    for (const stopOne of stops.reverse()) await stopOne();
  };
  try {
    const secret = randomBytes(32).toString('hex');
    const { databaseUrl } = servers.database;
    const company = await withDatabase(databaseUrl, (owner) => createBenchmarkCompany(owner, secret));
    const apis = keepOneApi({ servers, company, secret, signal, log, bundle: await writeBundle(servers.folder) });
    stops.push(apis.stop);
    const preparing = await apis.api(options.grouping);
    log(`Preparing ${options.invoices} invoices through the API`);
    const invoiceIds = await prepareThrough(preparing, company, options.invoices, signal);
    const baseline = options.withBaseline ? await openBaseline(servers, company, options) : undefined;
    if (baseline !== undefined) stops.push(baseline.stop);
    return { servers, company, invoiceIds, baseline, signal, api: apis.api, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The API in one way at a time, warmed up whenever it is started anew. */
function keepOneApi(options: {
  readonly servers: Servers;
  readonly company: BenchmarkCompany;
  readonly bundle: string;
  readonly secret: string;
  readonly signal: AbortSignal;
  readonly log: Log;
}): Pick<Session, 'api' | 'stop'> {
  const { company, signal, log } = options;
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
      const process = await startApiProcess({ ...options, grouping });
      current = { grouping, process };
      log(`Warming up an API with grouping ${grouping}`);
      await prepareThrough(process, company, WARM_UP_INVOICES, signal);
      return process;
    },
    stop,
  };
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
  // It measures in its own process, which knows nothing of Ctrl-C.
  signal.addEventListener('abort', () => void baseline.stop(), { once: true });
  log('Warming up the baseline');
  for (const kind of ['temporal', 'sql'] as const) await baseline.measure({ kind, ...BASELINE_WARM_UP });
  return baseline;
}

export async function writeBundle(folder: string): Promise<string> {
  const bundle = join(folder, 'workflow-bundle.js');
  writeFileSync(bundle, (await buildWorkflowBundle()).code);
  return bundle;
}

async function prepareThrough(
  { url }: ApiProcess,
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
