import { randomInt } from 'node:crypto';
import { statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AppDatabase, createAppDatabase } from '../../local/database.ts';
import { type RunningPostgres, startPostgres } from '../../local/postgres.ts';
import { keptPasswords } from '../../local/servers.ts';
import { type RunningTemporal, startTemporal } from '../../local/temporal.ts';
import { resolveTemporalBinary } from '../../local/temporal-binary.ts';
import { openThrowawayFolder } from '../../local/throwaway-folder.ts';

/** PostgreSQL and Temporal for one benchmark, as durable as in production, in a folder that is removed with them. */
export type Servers = {
  readonly folder: string;
  readonly database: AppDatabase;
  /** One more database on the same server. */
  anotherDatabase(name: string): Promise<AppDatabase>;
  readonly superuserUrl: string;
  readonly postgresPid: number;
  readonly temporalPid: number;
  readonly temporalAddress: string;
  readonly notes: readonly string[];
  stop(): Promise<void>;
};

/** Below the ephemeral port range; each server searches upward from there. */
const FIRST_PORT = 20_000;
const LAST_PORT = 30_000;
/** Linux's `statfs` type of tmpfs, a file system in memory without durability. */
const TMPFS_MAGIC = 0x01021994;

export async function startServers(log: (line: string) => void): Promise<Servers> {
  const throwaway = openThrowawayFolder();
  const folder = throwaway.path;
  let postgres: RunningPostgres | undefined;
  let temporal: RunningTemporal | undefined;
  const stop = async () => {
    await Promise.allSettled([temporal?.stop(), postgres?.stop()]);
    throwaway.remove();
  };
  try {
    postgres = await startPostgres({ dataDir: folder, port: anyPort(), durable: true, log });
    temporal = await startTemporal({
      binary: throwaway.recordingPid(await resolveTemporalBinary(log)),
      port: anyPort(),
      databaseFile: join(folder, 'temporal', 'temporal.db'),
      logFile: join(folder, 'logs', 'temporal.log'),
    });
    const { superuserUrl } = postgres;
    const createDatabase = (database: string) =>
      createAppDatabase({ superuserUrl, database, passwords: keptPasswords(folder) });
    return {
      folder,
      database: await createDatabase('accubooks'),
      anotherDatabase: createDatabase,
      superuserUrl,
      postgresPid: postgres.pid,
      temporalPid: temporal.pid,
      temporalAddress: temporal.address,
      notes: notesOn(folder),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function anyPort(): number {
  return randomInt(FIRST_PORT, LAST_PORT);
}

/** What makes the figures of this machine unrealistic. */
export function notesOn(folder: string): string[] {
  if (statfsSync(folder).type !== TMPFS_MAGIC) return [];
  return [
    `${tmpdir()} is in memory, where a commit costs nothing: set TMPDIR to a folder on a disk for realistic figures.`,
  ];
}
