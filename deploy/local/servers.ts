import { join } from 'node:path';
import { dataFolder } from '../cli/local-config.ts';
import { keptSecret } from '../cli/secrets.ts';
import type { LauncherConfig } from './config.ts';
import { type AppDatabase, createAppDatabase, type Passwords, passwordsBy, prepareGivenDatabase } from './database.ts';
import { startPostgres } from './postgres.ts';
import type { Running, Service } from './supervise.ts';
import { type RunningTemporal, startTemporal } from './temporal.ts';
import { resolveTemporalBinary } from './temporal-binary.ts';

/** The default ports; the next free ports above are used if they are taken. */
const POSTGRES_PORT = 5432;
const TEMPORAL_PORT = 7233;
const TEMPORAL_UI_PORT = 8233;
const DATABASE = 'accubooks';

type Log = (line: string) => void;

/** `started` returns the running server; it throws before the first start. */
export type ServerService<T> = Service & { started(): T };

export function postgresService(log: Log): ServerService<{ superuserUrl: string }> {
  return onFixedPort('PostgreSQL', logFile('postgres'), POSTGRES_PORT, (port) =>
    startPostgres({ dataDir: dataFolder(), port, durable: true, log }),
  );
}

/** `codecUrl`: where its UI has payloads decrypted. */
export function temporalService(log: Log, codecUrl: string): ServerService<Pick<RunningTemporal, 'address' | 'uiUrl'>> {
  return onFixedPort('Temporal', logFile('temporal'), TEMPORAL_PORT, async (port) =>
    startTemporal({
      binary: await resolveTemporalBinary(log),
      port,
      uiPort: TEMPORAL_UI_PORT,
      codecUrl,
      databaseFile: join(dataFolder(), 'temporal', 'temporal.db'),
      logFile: logFile('temporal'),
    }),
  );
}

/** Migrates the database, in the embedded server or in the one of DATABASE_URL, and returns its URLs. */
export async function prepareDatabase(
  config: LauncherConfig,
  superuserUrl: string | undefined,
  log: Log,
): Promise<AppDatabase & { isOwnerLogin: boolean }> {
  const passwords = keptPasswords(dataFolder());
  if (superuserUrl === undefined) {
    const given = {
      databaseUrl: config.DATABASE_URL as string,
      ownerUrl: config.MIGRATION_DATABASE_URL,
      relayUrl: config.RELAY_DATABASE_URL,
      maintenanceUrl: config.MAINTENANCE_DATABASE_URL,
      sealerUrl: config.SEALER_DATABASE_URL,
    };
    return prepareGivenDatabase({ ...given, passwords, log });
  }
  const database = await createAppDatabase({ superuserUrl, database: DATABASE, passwords, log });
  return { ...database, isOwnerLogin: false };
}

/** The passwords in the files of that folder, one a login; the first call creates them. */
export function keptPasswords(folder: string): Passwords {
  return passwordsBy((login) => keptSecret(join(folder, PASSWORD_FILES[login])));
}

const PASSWORD_FILES: Readonly<Record<keyof Passwords, string>> = {
  owner: 'owner-password',
  app: 'login-password',
  relay: 'relay-login-password',
  maintenance: 'maintenance-login-password',
  sealer: 'sealer-login-password',
  auditor: 'auditor-login-password',
  eraser: 'eraser-login-password',
  scheduledAuditor: 'scheduled-auditor-login-password',
};

function logFile(server: 'postgres' | 'temporal'): string {
  return join(dataFolder(), 'logs', `${server}.log`);
}

/** Restarts a server only on the same port, because other processes already have its address. */
function onFixedPort<T extends Running & { port: number }>(
  name: string,
  logFile: string,
  preferredPort: number,
  start: (port: number) => Promise<T>,
): ServerService<T> {
  let first: T | undefined;
  return {
    name,
    logFile,
    async start() {
      const server = await start(first?.port ?? preferredPort);
      if (first !== undefined && server.port !== first.port) {
        await server.stop();
        throw new Error(`port ${first.port} is now in use by another program`);
      }
      first ??= server;
      return server;
    },
    started() {
      if (first === undefined) throw new Error(`Bug! ${name} has not been started`);
      return first;
    },
  };
}
