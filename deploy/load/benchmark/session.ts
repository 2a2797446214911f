import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildWorkflowBundle } from '../../../worker/bundle.ts';
import { withDatabase } from '../../operator/command.ts';
import { type Baseline, startBaseline } from '../baseline/process.ts';
import { createBaselineSchema } from '../baseline/schema.ts';
import { openHttp } from '../http.ts';
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

export async function openSession(options: {
  readonly invoices: number;
  readonly withBaseline: boolean;
  /** The first to be asked for; it prepares the data. */
  readonly grouping: Grouping;
  readonly signal: AbortSignal;
  log(line: string): void;
}): Promise<Session> {
  const { log, signal } = options;
  log('Starting PostgreSQL and Temporal of its own');
  const servers = await startServers(log);
  let current: { grouping: Grouping; process: ApiProcess } | undefined;
  let baseline: Baseline | undefined;
  const stop = async () => {
    await Promise.allSettled([current?.process.stop(), baseline?.stop()]);
    await servers.stop();
  };
  try {
    const secret = randomBytes(32).toString('hex');
    const bundle = join(servers.folder, 'workflow-bundle.js');
    writeFileSync(bundle, (await buildWorkflowBundle()).code);
    const { databaseUrl } = servers.database;
    const company = await withDatabase(databaseUrl, (owner) => createBenchmarkCompany(owner, secret));
    const api = async (grouping: Grouping) => {
      signal.throwIfAborted();
      if (current?.grouping !== grouping) {
        await current?.process.stop();
        current = undefined;
        current = { grouping, process: await startApiProcess({ servers, bundle, secret, grouping, signal }) };
      }
      return current.process;
    };

    const { url } = await api(options.grouping);
    log(`Preparing ${options.invoices} invoices through the API`);
    const http = openHttp(url, { connections: PREPARING_CONNECTIONS });
    const invoiceIds = await prepareInvoices(http, company.token, options.invoices);
    await http.close();
    if (options.withBaseline) {
      await withDatabase(databaseUrl, (owner) => createBaselineSchema(owner, company.companyId));
      const { temporalAddress } = servers;
      baseline = await startBaseline({ databaseUrl, temporalAddress, companyId: company.companyId });
    }
    return { servers, company, invoiceIds, baseline, signal, api, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
