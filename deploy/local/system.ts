import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEMO_COMPANY_ID } from '../../activities/demo.ts';
import { temporalTarget } from '../operator/config.ts';
import { setupTemporal } from '../operator/setup-temporal.ts';
import { childEnvironment, dataFolder, type LauncherConfig, launcherConfig, refuseProduction } from './config.ts';
import { claimDataFolder } from './instance.ts';
import { jwtSecretFile, removeLocalJson, writeLocalJson } from './local-json.ts';
import { endLeftover, nodeProcess } from './node-process.ts';
import { firstFreePort, isPortFree } from './ports.ts';
import { keptSecret, writePrivately } from './secrets.ts';
import { seedBooks, seedCompanies } from './seed.ts';
import { postgresService, prepareDatabase, temporalService } from './servers.ts';
import { type Service, type Supervised, supervise } from './supervise.ts';
import { mintToken } from './token.ts';
import { welcome } from './welcome.ts';

const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 100;
/** What is still starting at Ctrl-C gets this long to come to its next step; a download is not waited for. */
const STOP_START_MS = 10_000;
const WORKER_METRICS_PORT = 9464;
/** A token lives for 12 hours; scripts that read local.json must always find one that does. */
const TOKEN_RENEWAL_MS = 6 * 60 * 60 * 1_000;

/** In the order in which they are stopped: those that need others first. */
const STOP_ORDER = [['api', 'worker'], ['Temporal'], ['PostgreSQL']] as const;
type Name = (typeof STOP_ORDER)[number][number];

const SCRIPTS = { api: 'api/main.ts', worker: 'worker/main.ts' } as const;

/**
 * Starts everything and keeps it running. `ready` gives the text that tells how to use it; `stop` may be called at any
 * moment, also while it still starts.
 */
export function startSystem(on: { log(line: string): void; gaveUp(error: Error): void }): {
  ready: Promise<string>;
  stop(): Promise<void>;
} {
  const stopping = new AbortController();
  const { signal } = stopping;
  const kept = new Map<Name, Supervised>();
  let release = () => {};
  let publish = () => {};
  const ready = bringUp();
  ready.catch(() => {});

  return {
    ready,
    async stop() {
      stopping.abort();
      await Promise.race([ready.catch(() => {}), sleep(STOP_START_MS)]);
      for (const names of STOP_ORDER) {
        const group = names.flatMap((name) => kept.get(name) ?? []);
        await Promise.all(group.map((service) => service.stop()));
      }
      release();
    },
  };

  async function bringUp(): Promise<string> {
    const startedAt = Date.now();
    refuseProduction();
    const config = launcherConfig();
    const claim = claimDataFolder();
    release = () => {
      removeLocalJson();
      claim.release();
    };
    removeLocalJson(); // A killed run's.
    mkdirSync(join(dataFolder(), 'logs'), { recursive: true });
    await Promise.all([endLeftover('api', SCRIPTS.api), endLeftover('worker', SCRIPTS.worker)]);
    const metricsPort = await choosePorts(config);

    const postgres = config.DATABASE_URL === undefined ? postgresService(on.log) : undefined;
    const temporal = config.TEMPORAL_ADDRESS === undefined ? temporalService(on.log) : undefined;
    await all([...(postgres ? [keep('PostgreSQL', postgres)] : []), ...(temporal ? [keep('Temporal', temporal)] : [])]);
    const database = await prepareDatabase(config, postgres?.started().superuserUrl, on.log);
    const { demoOwnerId } = await seedCompanies(database.databaseUrl);
    const temporalAddress = temporal?.started().address ?? (config.TEMPORAL_ADDRESS as string);
    await setupNamespace(temporalAddress, on.log);
    const temporalUiUrl = config.TEMPORAL_UI_URL ?? temporal?.started().uiUrl ?? null;
    signal.throwIfAborted();

    const secret = jwtSecret(config);
    const environment = {
      PORT: String(config.PORT),
      HOST: config.HOST,
      DATABASE_URL: database.appDatabaseUrl,
      TEMPORAL_ADDRESS: temporalAddress,
      TEMPORAL_NAMESPACE: config.TEMPORAL_NAMESPACE,
      ...(temporalUiUrl === null ? {} : { TEMPORAL_UI_URL: temporalUiUrl }),
      JWT_SECRET: secret,
      ...(config.JWT_ISSUER === undefined ? {} : { JWT_ISSUER: config.JWT_ISSUER }),
      ...(config.JWT_AUDIENCE === undefined ? {} : { JWT_AUDIENCE: config.JWT_AUDIENCE }),
      ...(config.LOG_LEVEL === undefined ? {} : { LOG_LEVEL: config.LOG_LEVEL }),
      ...(database.isOwnerLogin ? { ALLOW_OWNER_LOGIN: '1' } : {}),
    };
    const worker = childEnvironment({ ...environment, METRICS_PORT: String(metricsPort) });
    on.log('Starting API and worker');
    await all([
      keep('api', nodeProcess('api', SCRIPTS.api, childEnvironment(environment))),
      keep('worker', nodeProcess('worker', SCRIPTS.worker, worker)),
    ]);
    const apiUrl = `http://${reachable(config.HOST)}:${config.PORT}`;
    const metricsUrls = { api: `${apiUrl}/metrics`, worker: `http://${reachable(config.HOST)}:${metricsPort}/metrics` };
    // The worker's metrics may ask for a token: that is an answer too.
    await all([
      waitFor(`${apiUrl}/readyz`, (status) => status === 200),
      waitFor(metricsUrls.worker, (status) => status < 500),
    ]);

    const mint = () =>
      mintToken({
        secret,
        subject: demoOwnerId,
        companyId: DEMO_COMPANY_ID,
        issuer: config.JWT_ISSUER,
        audience: config.JWT_AUDIENCE,
      });
    await seedBooks({ apiUrl, token: await mint(), log: on.log });
    signal.throwIfAborted();

    const { databaseUrl, appDatabaseUrl } = database;
    const { TEMPORAL_NAMESPACE: temporalNamespace } = config;
    const describe = async () => ({
      ...{ apiUrl, databaseUrl, appDatabaseUrl, temporalAddress, temporalNamespace, temporalUiUrl, metricsUrls },
      pids: {
        launcher: process.pid,
        api: pidOf('api') as number,
        worker: pidOf('worker') as number,
        postgres: pidOf('PostgreSQL'),
        temporal: pidOf('Temporal'),
      },
      token: await mint(),
    });
    const local = await describe();
    writeLocalJson(local);
    publish = () => {
      describe().then((system) => signal.aborted || writeLocalJson(system), on.gaveUp);
    };
    setInterval(publish, TOKEN_RENEWAL_MS).unref();
    return welcome(local, { seconds: (Date.now() - startedAt) / 1_000 });
  }

  async function keep(name: Name, service: Service): Promise<void> {
    kept.set(name, await supervise(service, { ...on, restarted: () => publish() }));
  }

  function pidOf(name: Name): number | null {
    return kept.get(name)?.pid() ?? null;
  }

  async function waitFor(url: string, isReady: (status: number) => boolean): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while (Date.now() < deadline) {
      signal.throwIfAborted();
      const status = await statusOf(url);
      if (status !== undefined && isReady(status)) return;
      await sleep(READY_POLL_MS);
    }
    throw new Error(`${url} is not ready after ${READY_TIMEOUT_MS / 1_000} s. See ${join(dataFolder(), 'logs')}.`);
  }
}

/** Waits for all of them before it fails, so that what has been started is known, and can be stopped. */
async function all(started: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(started)) if (result.status === 'rejected') throw result.reason;
}

/** The port that the user asked for, or nothing; only for the worker's metrics any will do. */
async function choosePorts({ PORT, HOST, METRICS_PORT }: LauncherConfig): Promise<number> {
  if (!(await isPortFree(PORT, HOST))) {
    throw new Error(
      `Port ${PORT} is taken by another program. Stop that one, or choose another port: PORT=${PORT + 1} npm start`,
    );
  }
  if (METRICS_PORT === undefined) return firstFreePort(WORKER_METRICS_PORT, [PORT]);
  if (METRICS_PORT !== PORT && (await isPortFree(METRICS_PORT, HOST))) return METRICS_PORT;
  throw new Error(`METRICS_PORT ${METRICS_PORT} is taken. Choose another one, or unset it.`);
}

/** A server of one's own may lack them, and ours has only the default namespace. */
async function setupNamespace(address: string, log: (line: string) => void): Promise<void> {
  try {
    await setupTemporal(temporalTarget(address));
  } catch (error) {
    // It may have been set up by others, without a right to do so for us; the processes check it at their start.
    log(`Temporal is used as it is: ${(error as Error).message}`);
  }
}

/** Kept where the operator commands find it. */
function jwtSecret({ JWT_SECRET }: LauncherConfig): string {
  if (JWT_SECRET === undefined) return keptSecret(jwtSecretFile());
  writePrivately(jwtSecretFile(), `${JWT_SECRET}\n`);
  return JWT_SECRET;
}

function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

async function statusOf(url: string): Promise<number | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
    await response.body?.cancel();
    return response.status;
  } catch {
    return undefined;
  }
}
