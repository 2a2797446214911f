import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keptSecret } from '../../cli/secrets.ts';
import { type AppDatabase, createAppDatabase } from '../../local/database.ts';
import { type RunningPostgres, startPostgres } from '../../local/postgres.ts';
import { type RunningTemporal, startTemporal } from '../../local/temporal.ts';
import { resolveTemporalBinary } from '../../local/temporal-binary.ts';

/** PostgreSQL and Temporal for one benchmark, as durable as in production, in a folder that is removed with them. */
export type Servers = {
  readonly folder: string;
  readonly database: AppDatabase;
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
  const folder = mkdtempSync(join(tmpdir(), 'accubooks-benchmark-'));
  const watcher = watchOver(folder);
  let postgres: RunningPostgres | undefined;
  let temporal: RunningTemporal | undefined;
  const stop = async () => {
    await Promise.allSettled([temporal?.stop(), postgres?.stop()]);
    watcher.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    postgres = await startPostgres({ dataDir: folder, port: anyPort(), durable: true, log });
    temporal = await startTemporal({
      binary: await resolveTemporalBinary(log),
      port: anyPort(),
      databaseFile: join(folder, 'temporal', 'temporal.db'),
      logFile: join(folder, 'logs', 'temporal.log'),
    });
    const database = await createAppDatabase({
      superuserUrl: postgres.superuserUrl,
      database: 'accubooks',
      ownerPassword: keptSecret(join(folder, 'owner-password')),
      loginPassword: keptSecret(join(folder, 'login-password')),
    });
    return {
      folder,
      database,
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

function notesOn(folder: string): string[] {
  if (statfsSync(folder).type !== TMPFS_MAGIC) return [];
  return [
    `${tmpdir()} is in memory, where a commit costs nothing: set TMPDIR to a folder on a disk for realistic figures.`,
  ];
}

/**
 * Reads from a pipe that closes when this process exits, even by `kill -9`; then kills both servers and removes the folder.
 * PostgreSQL gets SIGQUIT, on which the postmaster also ends its backends.
 */
const WATCHER = `
while read -r _; do :; done
sleep 1
server=$(sed -n 's/.*"pid":\\([0-9]*\\).*/\\1/p' "$1/temporal/temporal.db.pid" 2>/dev/null)
postmaster=$(head -n 1 "$1/postgres/postmaster.pid" 2>/dev/null)
[ -n "$server" ] && kill -KILL "$server"
[ -n "$postmaster" ] && kill -QUIT "$postmaster"
for _ in 1 2 3 4 5 6 7 8 9 10; do
  kill -0 $server $postmaster 2>/dev/null || break
  sleep 0.5
done
rm -rf "$1"
`;

function watchOver(folder: string): ChildProcess {
  // Detached, because Ctrl-C goes to the terminal's whole process group and must not kill the process that cleans up.
  const watcher = spawn('sh', ['-c', WATCHER, 'sh', folder], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  watcher.unref();
  (watcher.stdin as Socket).unref();
  return watcher;
}
