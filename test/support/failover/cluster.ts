import { randomInt } from 'node:crypto';
import { copyFileSync, existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { type RunningPostgres, startPostgres } from '../../../deploy/local/postgres.ts';
import { endProcess, processesIn, sendSignal, waitForExit } from '../../../deploy/local/processes.ts';
import { openThrowawayFolder, type ThrowawayFolder } from '../../../deploy/local/throwaway-folder.ts';
import { copyFiles } from './files.ts';

/** A PostgreSQL cluster that a test restores, replicates and kills: durable, as in production. */
export type Cluster = {
  /** Of the server's files; it keeps them after a kill. */
  readonly files: string;
  readonly port: number;
  readonly superuserUrl: string;
  /** As the superuser, in the given database. */
  session<T>(work: (session: pg.Client) => Promise<T>, database?: string): Promise<T>;
  /** SIGKILL of the postmaster; answers when none of its processes is left. */
  kill(): Promise<void>;
  /** The plain restart over the same files, after a kill. */
  startAgain(): Promise<void>;
};

/** All clusters of a test, which end with it. They share the superuser's password, as all copies of one cluster do. */
export type Clusters = {
  create(): Promise<Cluster>;
  /** Starts a copy of those files, changed by `prepare` before the start. The files themselves stay as they are. */
  startCopy(files: string, prepare?: (files: string) => void): Promise<Cluster>;
  /** An empty folder for a copy of files, removed at the end. */
  folder(): string;
  stop(): Promise<void>;
};

/** Beside the ranges of the other servers of tests: the start probes upward from one of these. */
const FIRST_PORT = 14_000;
const LAST_PORT = 19_900;

export function randomPort(): number {
  return randomInt(FIRST_PORT, LAST_PORT);
}

export const DATABASE = 'accubooks';

/** Kept for a standby and for point-in-time recovery. Larger than what any test writes. */
const WAL_KEEP = '1GB';

export function openClusters(): Clusters {
  const folders: ThrowawayFolder[] = [];
  const running: Cluster[] = [];
  const open = (): ThrowawayFolder => {
    const folder = openThrowawayFolder();
    folders.push(folder);
    return folder;
  };
  const start = async (dataDir: string): Promise<Cluster> => {
    const cluster = await startCluster(dataDir);
    running.push(cluster);
    return cluster;
  };
  return {
    async create() {
      const cluster = await start(withPassword(open().path, folders));
      await cluster.session(async (superuser) => {
        await superuser.query(`ALTER SYSTEM SET wal_keep_size = '${WAL_KEEP}'`);
        await superuser.query('SELECT pg_reload_conf()');
      }, 'postgres');
      return cluster;
    },
    async startCopy(files, prepare = () => undefined) {
      const dataDir = withPassword(open().path, folders);
      const copy = join(dataDir, 'postgres');
      await copyFiles(files, copy);
      prepare(copy);
      return start(dataDir);
    },
    folder: () => open().path,
    async stop() {
      await Promise.all(running.map((cluster) => cluster.kill()));
      for (const folder of folders) folder.remove();
    },
  };
}

/** The first cluster makes the password; the others have the same. */
function withPassword(path: string, folders: readonly ThrowawayFolder[]): string {
  const file = 'postgres-password';
  const made = folders.map((folder) => join(folder.path, file)).find(existsSync);
  if (made !== undefined) copyFileSync(made, join(path, file));
  return path;
}

async function startCluster(dataDir: string): Promise<Cluster> {
  const wanted = { dataDir, durable: true, log: () => undefined };
  let postgres: RunningPostgres = await startPostgres({ ...wanted, port: randomPort() });
  const { port, superuserUrl } = postgres;
  const files = join(realpathSync(dataDir), 'postgres');
  return {
    files,
    port,
    superuserUrl,
    async session(work, database = DATABASE) {
      const url = new URL(superuserUrl);
      url.pathname = `/${database}`;
      const session = new pg.Client({ connectionString: url.href });
      session.on('error', () => undefined);
      await session.connect();
      try {
        return await work(session);
      } finally {
        await session.end();
      }
    },
    async kill() {
      await endProcess(postgres.pid, 0);
      // Sessions in the middle of a statement notice later.
      for (const pid of processesIn(files)) {
        sendSignal(pid, 'SIGKILL');
        await waitForExit(pid, 5_000);
      }
    },
    async startAgain() {
      postgres = await startPostgres({ ...wanted, port });
      if (postgres.port !== port) throw new Error('PostgreSQL came back on another port');
    },
  };
}
