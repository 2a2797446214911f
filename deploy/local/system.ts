import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEMO_COMPANY_ID } from '../../activities/demo.ts';
import { temporalTarget } from '../cli/config.ts';
import { childEnvironment, dataFolder, refuseProduction } from '../cli/local-config.ts';
import { jwtSecretFile, type LocalSystem, removeLocalJson, writeLocalJson } from '../cli/local-json.ts';
import { keptSecret, writePrivately } from '../cli/secrets.ts';
import { mintToken } from '../cli/token.ts';
import { type LauncherConfig, launcherConfig } from './config.ts';
import { claimDataFolder } from './instance.ts';
import { choosePorts, reachable } from './listening.ts';
import { buildBundle, endLeftover, nodeProcess } from './node-process.ts';
import { sendSignal } from './processes.ts';
import { seedBooks, seedCompanies } from './seed.ts';
import { postgresService, prepareDatabase, temporalService } from './servers.ts';
import { type Service, type Supervised, supervise } from './supervise.ts';
import { waitFor } from './wait-for.ts';
import { welcome } from './welcome.ts';

/** What is still starting at Ctrl-C gets this long to come to its next step; a download is not waited for. */
const STOP_START_MS = 10_000;
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
export function startSystem(on: { log(line: string): void; gaveUp(error: Error): void; readonly patient?: boolean }): {
  ready: Promise<string>;
  stop(): Promise<void>;
  /** API and worker anew, with the workflows bundled anew: the source was changed. */
  reload(): Promise<void>;
  /** Ends API and worker at once, when one does not want to wait for `stop`. */
  hurry(): void;
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
    async reload() {
      await ready;
      if (launcherConfig().WORKFLOW_BUNDLE === undefined) await buildBundle();
      await all(STOP_ORDER[0].flatMap((name) => kept.get(name)?.restart() ?? []));
    },
    hurry() {
      for (const name of ['api', 'worker'] as const) {
        const pid = kept.get(name)?.pid();
        if (pid !== undefined) sendSignal(pid, 'SIGKILL');
      }
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
    await all([endLeftover('api', SCRIPTS.api), endLeftover('worker', SCRIPTS.worker)]);
    const metricsPort = await choosePorts(config);

    const [servers, workflowBundle] = await all([
      startServers(config),
      config.WORKFLOW_BUNDLE === undefined ? buildBundle() : Promise.resolve(config.WORKFLOW_BUNDLE),
    ]);
    signal.throwIfAborted();
    const secret = jwtSecret(config);
    const decided = {
      PORT: String(config.PORT),
      DATABASE_URL: servers.appDatabaseUrl,
      TEMPORAL_ADDRESS: servers.temporalAddress,
      ...(servers.temporalUiUrl === null ? {} : { TEMPORAL_UI_URL: servers.temporalUiUrl }),
      JWT_SECRET: secret,
      WORKFLOW_BUNDLE: workflowBundle,
      // Kept, since it makes the secrets that receivers have.
      WEBHOOK_MASTER_KEY: config.WEBHOOK_MASTER_KEY ?? keptSecret(join(dataFolder(), 'webhook-master-key')),
      ...(servers.isOwnerLogin ? { ALLOW_OWNER_LOGIN: '1' } : {}),
    };
    const ofWorker = {
      ...decided,
      RELAY_DATABASE_URL: servers.relayDatabaseUrl,
      METRICS_PORT: String(metricsPort),
    };
    on.log('Starting API and worker');
    await all([
      keep('api', nodeProcess('api', SCRIPTS.api, childEnvironment(decided))),
      keep('worker', nodeProcess('worker', SCRIPTS.worker, childEnvironment(ofWorker))),
    ]);
    const apiUrl = `http://${reachable(config.HOST)}:${config.PORT}`;
    const metricsUrls = { api: `${apiUrl}/metrics`, worker: `http://${reachable(config.HOST)}:${metricsPort}/metrics` };
    await all([
      waitFor(`${apiUrl}/readyz`, { isReady: (status) => status === 200, signal }),
      // The worker's metrics may ask for a token: that is an answer too.
      waitFor(metricsUrls.worker, { isReady: (status) => status < 500, signal }),
    ]);

    const { JWT_ISSUER: issuer, JWT_AUDIENCE: audience } = config;
    const mint = () =>
      mintToken({ secret, subject: servers.demoOwnerId, companyId: DEMO_COMPANY_ID, issuer, audience });
    await seedBooks({ apiUrl, token: await mint(), log: on.log });
    signal.throwIfAborted();

    const describe = async (): Promise<LocalSystem> => ({
      apiUrl,
      databaseUrl: servers.databaseUrl,
      appDatabaseUrl: servers.appDatabaseUrl,
      temporalAddress: servers.temporalAddress,
      temporalNamespace: config.TEMPORAL_NAMESPACE,
      temporalUiUrl: servers.temporalUiUrl,
      metricsUrls,
      pids: pids(),
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

  /** PostgreSQL and Temporal, unless they are provided; ready to be worked with either way. */
  async function startServers(config: LauncherConfig) {
    const postgres = config.DATABASE_URL === undefined ? postgresService(on.log) : undefined;
    const temporal = config.TEMPORAL_ADDRESS === undefined ? temporalService(on.log) : undefined;
    await all([...(postgres ? [keep('PostgreSQL', postgres)] : []), ...(temporal ? [keep('Temporal', temporal)] : [])]);
    const database = await prepareDatabase(config, postgres?.started().superuserUrl, on.log);
    const temporalAddress = temporal?.started().address ?? (config.TEMPORAL_ADDRESS as string);
    const { demoOwnerId, isNewDemo } = await seedCompanies(database.databaseUrl);
    // Our own has its default namespace from the start, with all that belongs to it.
    if (temporal === undefined || config.TEMPORAL_NAMESPACE !== 'default' || isNewDemo) {
      // Loaded only where it is needed: it brings Temporal's native core along.
      const { prepareNamespace } = await import('./namespace.ts');
      await prepareNamespace(temporalTarget(temporalAddress), { isNewDemo, log: on.log });
    }
    return {
      ...database,
      demoOwnerId,
      temporalAddress,
      temporalUiUrl: config.TEMPORAL_UI_URL ?? temporal?.started().uiUrl ?? null,
    };
  }

  async function keep(name: Name, service: Service): Promise<void> {
    kept.set(name, await supervise(service, { ...on, restarted: () => publish() }));
  }

  function pids(): LocalSystem['pids'] {
    const pidOf = (name: Name) => kept.get(name)?.pid();
    return {
      launcher: process.pid,
      api: pidOf('api') as number,
      worker: pidOf('worker') as number,
      postgres: pidOf('PostgreSQL') ?? null,
      temporal: pidOf('Temporal') ?? null,
    };
  }
}

/** Waits for all of them before it fails, so that what has been started is known, and can be stopped. */
async function all<const T extends readonly Promise<unknown>[]>(started: T) {
  await Promise.allSettled(started);
  return Promise.all(started);
}

/** Kept where the operator commands find it. */
function jwtSecret({ JWT_SECRET }: LauncherConfig): string {
  if (JWT_SECRET === undefined) return keptSecret(jwtSecretFile());
  writePrivately(jwtSecretFile(), `${JWT_SECRET}\n`);
  return JWT_SECRET;
}
