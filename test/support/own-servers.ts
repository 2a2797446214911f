import { randomBytes, randomInt } from 'node:crypto';
import { join } from 'node:path';
import pg from 'pg';
import { inject } from 'vitest';
import { createAppDatabase, passwordsBy } from '../../deploy/local/database.ts';
import { startPostgres } from '../../deploy/local/postgres.ts';
import { startTemporal } from '../../deploy/local/temporal.ts';
import { resolveTemporalBinary } from '../../deploy/local/temporal-binary.ts';
import type { ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { PAYLOAD_KEYS } from './payload-keys.ts';
import { openServerFolder } from './server-folder.ts';
import { startTemporalOnPostgres } from './temporal-on-postgres.ts';
import type { TemporalServerBinaries } from './temporal-server.ts';
import { JWT_SECRET } from './tokens.ts';

/** PostgreSQL and Temporal of one test file alone, which it may kill: durable ones, as in production. */
export type OwnServers = {
  /** What API and worker processes need. */
  readonly environment: Readonly<Record<string, string>>;
  readonly owner: pg.Pool;
  /** SIGKILL, and a start over the same data some time later. */
  crash(server: 'postgres' | 'temporal', downMs: number): Promise<void>;
  stop(): Promise<void>;
};

const FIRST_PORT = 13_700;
const LAST_PORT = 13_799;

/** Temporal is the dev server over a file; with binaries of the server itself, that one over the same PostgreSQL. */
export async function startOwnServers(temporal?: TemporalServerBinaries): Promise<OwnServers> {
  const folder = openServerFolder();
  const startPostgresAt = (port: number) =>
    startPostgres({ dataDir: folder.path, port, durable: true, log: () => undefined });
  const postgres = await startPostgresAt(randomInt(FIRST_PORT, LAST_PORT));
  const start = {
    postgres: startPostgresAt,
    temporal: temporal === undefined ? await devServer(folder) : onPostgres(temporal, folder, postgres.superuserUrl),
  };
  const servers = { postgres, temporal: await start.temporal(postgres.port + 1) };
  const { databaseUrl, appDatabaseUrl, relayDatabaseUrl, maintenanceDatabaseUrl, sealerDatabaseUrl, ...urls } =
    await createAppDatabase({
      superuserUrl: servers.postgres.superuserUrl,
      database: 'accubooks',
      passwords: passwordsBy(() => randomBytes(16).toString('hex')),
    });
  const owner = new pg.Pool({ connectionString: databaseUrl, max: 4 });
  owner.on('error', () => undefined);
  return {
    environment: {
      DATABASE_URL: appDatabaseUrl,
      RELAY_DATABASE_URL: relayDatabaseUrl,
      MAINTENANCE_DATABASE_URL: maintenanceDatabaseUrl,
      SEALER_DATABASE_URL: sealerDatabaseUrl,
      SEAL_SIGNING_KEY: `test:${randomBytes(32).toString('base64')}`,
      AUDITOR_DATABASE_URL: urls.scheduledAuditorDatabaseUrl,
      TEMPORAL_ADDRESS: servers.temporal.address,
      WORKFLOW_BUNDLE: inject('bundlePath'),
      JWT_SECRET,
      PAYLOAD_KEYS,
      PORT: '0',
    },
    owner,
    async crash(name, downMs) {
      const { pid, port: samePort } = servers[name];
      process.kill(pid, 'SIGKILL');
      await new Promise((resolve) => setTimeout(resolve, downMs));
      Object.assign(servers, { [name]: await start[name](samePort) });
      if (servers[name].port !== samePort) throw new Error(`${name} came back on another port`);
    },
    async stop() {
      await owner.end();
      await Promise.all([servers.postgres.stop(), servers.temporal.stop()]);
      folder.remove();
    },
  };
}

async function devServer(folder: ThrowawayFolder) {
  const binary = folder.recordingPid(await resolveTemporalBinary(() => undefined));
  const databaseFile = join(folder.path, 'temporal', 'temporal.db');
  const logFile = join(folder.path, 'temporal.log');
  return (port: number) => startTemporal({ binary, port, databaseFile, logFile });
}

function onPostgres(binaries: TemporalServerBinaries, folder: ThrowawayFolder, superuserUrl: string) {
  const server = folder.recordingPid(binaries.server);
  return (port: number) =>
    startTemporalOnPostgres({ binaries: { ...binaries, server }, superuserUrl, folder: folder.path, port });
}
