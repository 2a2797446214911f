import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEMO_COMPANY_ID } from '../../activities/demo.ts';
import { DAY_MS } from '../../activities/durations.ts';
import { THIS_MACHINE } from '../../api/config.ts';
import type { PayloadEncryption } from '../../worker/payloads/encryption.ts';
import { temporalTarget } from '../cli/config.ts';
import { childEnvironment, dataFolder, LOCAL_OPERATOR_AUDIENCE, refuseProduction } from '../cli/local-config.ts';
import {
  jwtSecretFile,
  type LocalSystem,
  payloadKeysFile,
  removeLocalJson,
  writeLocalJson,
} from '../cli/local-json.ts';
import { keptSecret, randomSecret, writePrivately } from '../cli/secrets.ts';
import { mintToken } from '../cli/token.ts';
import { DEFAULT_RETENTION_DAYS } from '../operator/retention.ts';
import { allowPrivateWebhooks, type LauncherConfig, launcherConfig } from './config.ts';
import { claimDataFolder } from './instance.ts';
import { choosePorts, reachable } from './listening.ts';
import { buildBundle, buildLocalConsole, endLeftover, nodeProcess } from './node-process.ts';
import { sendSignal } from './processes.ts';
import { seedBooks, seedCompanies } from './seed.ts';
import { postgresService, prepareDatabase, temporalService } from './servers.ts';
import { type Service, type Supervised, supervise } from './supervise.ts';
import { verifyLocally } from './verify.ts';
import { waitFor } from './wait-for.ts';
import { welcome } from './welcome.ts';

/** On Ctrl-C during the start, how long to wait for the current step; a download is not waited for. */
const STOP_START_MS = 10_000;
/** A token is valid for 12 hours; scripts must always find a valid one in local.json. */
const TOKEN_RENEWAL_MS = 6 * 60 * 60 * 1_000;

/** The order in which services are stopped: dependents before what they depend on. */
const STOP_ORDER = [['api', 'worker'], ['Temporal'], ['PostgreSQL']] as const;
type Name = (typeof STOP_ORDER)[number][number];

/** Whom the printed link signs in as operator. */
const DEMO_OPERATOR = 'demo-operator';

const SCRIPTS = { api: 'api/main.ts', worker: 'worker/main.ts' } as const;

/**
 * Starts everything and keeps it running. `ready` resolves with a text that explains how to use the system; `stop` may be
 * called at any time, also during the start.
 */
export function startSystem(on: {
  log(line: string): void;
  gaveUp(error: Error): void;
  readonly restartForever?: boolean;
}): {
  ready: Promise<string>;
  stop(): Promise<void>;
  /** Bundles the workflows again and restarts API and worker, after a change of the source. */
  reload(): Promise<void>;
  /** Kills API and worker, so that `stop` does not wait for their drain. */
  killProcesses(): void;
} {
  const stopping = new AbortController();
  const { signal } = stopping;
  const services = new Map<Name, Supervised>();
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
        const group = names.flatMap((name) => services.get(name) ?? []);
        await Promise.all(group.map((service) => service.stop()));
      }
      release();
    },
    async reload() {
      await ready;
      const { WORKFLOW_BUNDLE, CONSOLE_FOLDER } = launcherConfig();
      if (WORKFLOW_BUNDLE === undefined) await buildBundle();
      if (CONSOLE_FOLDER === undefined) await buildLocalConsole();
      await allSettledOrThrow(STOP_ORDER[0].flatMap((name) => services.get(name)?.restart() ?? []));
    },
    killProcesses() {
      for (const name of ['api', 'worker'] as const) {
        const pid = services.get(name)?.pid();
        if (pid !== undefined) sendSignal(pid, 'SIGKILL');
      }
    },
  };

  async function bringUp(): Promise<string> {
    const startedAt = performance.now();
    refuseProduction();
    const config = launcherConfig();
    const claim = claimDataFolder();
    release = () => {
      removeLocalJson();
      claim.release();
    };
    removeLocalJson(); // Left over from a killed run.
    mkdirSync(join(dataFolder(), 'logs'), { recursive: true });
    await allSettledOrThrow([endLeftover('api', SCRIPTS.api), endLeftover('worker', SCRIPTS.worker)]);
    const encryption = keptEncryption(config);
    const payloadKeys = keptPayloadKeys(config);
    const metricsPort = await choosePorts(config);

    const [servers, workflowBundle, consoleFolder] = await allSettledOrThrow([
      startServers(config, encryption),
      config.WORKFLOW_BUNDLE === undefined ? buildBundle() : Promise.resolve(config.WORKFLOW_BUNDLE),
      config.CONSOLE_FOLDER === undefined ? buildLocalConsole() : Promise.resolve(config.CONSOLE_FOLDER),
    ]);
    signal.throwIfAborted();
    const secret = jwtSecret(config);
    const decided = {
      PORT: String(config.PORT),
      DATABASE_URL: servers.appDatabaseUrl,
      TEMPORAL_ADDRESS: servers.temporalAddress,
      ...(servers.temporalUiUrl === null ? {} : { TEMPORAL_UI_URL: servers.temporalUiUrl }),
      JWT_SECRET: secret,
      PAYLOAD_KEYS: payloadKeys,
      PAYLOAD_ENCRYPTION: encryption,
      CODEC_WITHOUT_TOKEN: THIS_MACHINE.includes(config.HOST) ? '1' : '0',
      WORKFLOW_BUNDLE: workflowBundle,
      CONSOLE_FOLDER: consoleFolder,
      OPERATOR_AUDIENCE: config.OPERATOR_AUDIENCE ?? LOCAL_OPERATOR_AUDIENCE,
      // Its own metrics the API knows.
      CONSOLE_METRICS_URLS: config.CONSOLE_METRICS_URLS ?? `http://${reachable(config.HOST)}:${metricsPort}/metrics`,
      // Persistent, because receivers have secrets that derive from it.
      WEBHOOK_MASTER_KEY: config.WEBHOOK_MASTER_KEY ?? keptSecret(join(dataFolder(), 'webhook-master-key')),
      WEBHOOK_ALLOW_PRIVATE: allowPrivateWebhooks(config),
      ...(servers.isOwnerLogin ? { ALLOW_OWNER_LOGIN: '1' } : {}),
    };
    const ofWorker = {
      ...decided,
      RELAY_DATABASE_URL: servers.relayDatabaseUrl,
      MAINTENANCE_DATABASE_URL: servers.maintenanceDatabaseUrl,
      SEALER_DATABASE_URL: servers.sealerDatabaseUrl,
      SEAL_SIGNING_KEY: config.SEAL_SIGNING_KEY ?? `local:${keptSecret(join(dataFolder(), 'seal-signing-key'))}`,
      AUDITOR_DATABASE_URL: servers.scheduledAuditorDatabaseUrl,
      METRICS_PORT: String(metricsPort),
    };
    on.log('Starting API and worker');
    await allSettledOrThrow([
      startSupervised('api', nodeProcess('api', SCRIPTS.api, childEnvironment(decided))),
      startSupervised('worker', nodeProcess('worker', SCRIPTS.worker, childEnvironment(ofWorker))),
    ]);
    const apiUrl = `http://${reachable(config.HOST)}:${config.PORT}`;
    const metricsUrls = { api: `${apiUrl}/metrics`, worker: `http://${reachable(config.HOST)}:${metricsPort}/metrics` };
    await allSettledOrThrow([
      waitFor(`${apiUrl}/readyz`, { isReady: (status) => status === 200, signal }),
      // Any answer will do: the worker's metrics may require a token.
      waitFor(metricsUrls.worker, { isReady: (status) => status < 500, signal }),
    ]);

    const { JWT_ISSUER: issuer, JWT_AUDIENCE: audience } = config;
    const mint = () =>
      mintToken({ secret, subject: servers.demoOwnerId, companyId: DEMO_COMPANY_ID, issuer, audience });
    const mintOperator = () =>
      mintToken({ secret, subject: DEMO_OPERATOR, issuer, audience: decided.OPERATOR_AUDIENCE });
    await seedBooks({ apiUrl, token: await mint(), log: on.log });
    signal.throwIfAborted();

    const describe = async (): Promise<LocalSystem> => ({
      apiUrl,
      databaseUrl: servers.databaseUrl,
      appDatabaseUrl: servers.appDatabaseUrl,
      maintenanceDatabaseUrl: servers.maintenanceDatabaseUrl,
      auditorDatabaseUrl: servers.auditorDatabaseUrl,
      temporalAddress: servers.temporalAddress,
      temporalNamespace: config.TEMPORAL_NAMESPACE,
      temporalUiUrl: servers.temporalUiUrl,
      metricsUrls,
      pids: pids(),
      token: await mint(),
      operatorToken: await mintOperator(),
    });
    const local = await describe();
    writeLocalJson(local);
    publish = () => {
      describe().then((system) => signal.aborted || writeLocalJson(system), on.gaveUp);
    };
    setInterval(publish, TOKEN_RENEWAL_MS).unref();
    return welcome(local, { seconds: (performance.now() - startedAt) / 1_000 });
  }

  /** Starts PostgreSQL and Temporal unless they are provided, and prepares both. */
  async function startServers(config: LauncherConfig, encryption: PayloadEncryption) {
    const postgres = config.DATABASE_URL === undefined ? postgresService(on.log) : undefined;
    const temporal =
      config.TEMPORAL_ADDRESS === undefined
        ? temporalService(on.log, `http://${reachable(config.HOST)}:${config.PORT}/codec`)
        : undefined;
    await allSettledOrThrow([
      ...(postgres ? [startSupervised('PostgreSQL', postgres)] : []),
      ...(temporal ? [startSupervised('Temporal', temporal)] : []),
    ]);
    const database = await prepareDatabase(config, postgres?.started().superuserUrl, on.log);
    const temporalAddress = temporal?.started().address ?? (config.TEMPORAL_ADDRESS as string);
    const { demoOwnerId, isNewDemo } = await seedCompanies(database.databaseUrl);
    // The embedded server starts with its default namespace and our search attributes.
    if (temporal === undefined || config.TEMPORAL_NAMESPACE !== 'default' || isNewDemo) {
      // Imported only when needed, because it loads Temporal's native core.
      const { prepareNamespace } = await import('./namespace.ts');
      await prepareNamespace(temporalTarget(temporalAddress), { isNewDemo, log: on.log });
    }
    await verifyLocally({
      databaseUrl: database.databaseUrl,
      temporal: { ...temporalTarget(temporalAddress), PAYLOAD_ENCRYPTION: encryption },
      // Imported only when needed, as above.
      ...(temporal === undefined
        ? {
            connect: async () =>
              (await import('../operator/setup-temporal.ts')).connectTarget(temporalTarget(temporalAddress)),
          }
        : {}),
      log: on.log,
    });
    return {
      ...database,
      demoOwnerId,
      temporalAddress,
      temporalUiUrl: config.TEMPORAL_UI_URL ?? temporal?.started().uiUrl ?? null,
    };
  }

  async function startSupervised(name: Name, service: Service): Promise<void> {
    services.set(name, await supervise(service, { ...on, restarted: () => publish() }));
  }

  function pids(): LocalSystem['pids'] {
    const pidOf = (name: Name) => services.get(name)?.pid();
    return {
      launcher: process.pid,
      api: pidOf('api') as number,
      worker: pidOf('worker') as number,
      postgres: pidOf('PostgreSQL') ?? null,
      temporal: pidOf('Temporal') ?? null,
    };
  }
}

/** Like Promise.all, but waits for all promises before it throws, so that everything that was started can be stopped. */
async function allSettledOrThrow<const T extends readonly Promise<unknown>[]>(started: T) {
  await Promise.allSettled(started);
  return Promise.all(started);
}

/**
 * Stored where the operator commands find them. Keys that are given come first; those of before are kept behind them, because
 * Temporal's runs of before are read by them.
 */
function keptPayloadKeys({ PAYLOAD_KEYS }: LauncherConfig): string {
  const file = payloadKeysFile();
  const kept = existsSync(file) ? readFileSync(file, 'utf8').trim().split(',') : [];
  const given = PAYLOAD_KEYS?.split(',').map((key) => key.trim()) ?? [];
  const idOf = (key: string) => key.split(':')[0];
  const ids = new Set(given.map(idOf));
  const all = [...given, ...kept.filter((key) => !ids.has(idOf(key)))];
  if (all.length === 0) all.push(`local:${randomSecret()}`);
  writePrivately(file, `${all.join(',')}\n`);
  return all.join(',');
}

/**
 * A data folder of before encryption: its runs are plain, and are read for as long as Temporal keeps them. Asked before the
 * keys are made.
 */
function keptEncryption({ PAYLOAD_ENCRYPTION }: LauncherConfig): PayloadEncryption {
  if (PAYLOAD_ENCRYPTION !== undefined) return PAYLOAD_ENCRYPTION;
  const mark = join(dataFolder(), 'plain-payloads-until');
  const isOfBefore = existsSync(join(dataFolder(), 'temporal', 'temporal.db')) && !existsSync(payloadKeysFile());
  // biome-ignore lint/plugin: it is kept over restarts.
  const now = Date.now();
  if (isOfBefore) writeFileSync(mark, new Date(now + DEFAULT_RETENTION_DAYS * DAY_MS).toISOString());
  return existsSync(mark) && now < Date.parse(readFileSync(mark, 'utf8')) ? 'encrypt' : 'require';
}

/** Stored where the operator commands find it. */
function jwtSecret({ JWT_SECRET }: LauncherConfig): string {
  if (JWT_SECRET === undefined) return keptSecret(jwtSecretFile());
  writePrivately(jwtSecretFile(), `${JWT_SECRET}\n`);
  return JWT_SECRET;
}
