import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { SEARCH_ATTRIBUTE_NAMES } from '../../workflows/search-attributes.ts';
import { refuseProduction } from '../cli/local-config.ts';
import { writePrivately } from '../cli/secrets.ts';
import { logTail } from './log-tail.ts';
import { acceptsConnections, firstFreePort, isPortFree } from './ports.ts';
import { commandLine, endProcess, isAlive } from './processes.ts';

export type RunningTemporal = {
  address: string;
  uiUrl?: string;
  port: number;
  pid: number;
  stop(): Promise<void>;
};

const NAMESPACE = 'default';
const READY_TIMEOUT_MS = 30_000;
/** An orphan that serves answers at once; one that does not is ended, its file loses nothing. */
const ORPHAN_READY_MS = 3_000;
const POLL_MS = 20;
const START_ATTEMPTS = 5;
/** Measured: a server whose port is taken ends within 140 ms. */
const BIND_MS = 400;
/** Measured: up to 3.1 s with a file. */
const STOP_GRACE_MS = 8_000;

/** WAL and NORMAL survive a kill of the process; the default, a sync for every transaction, halves the speed. */
const SQLITE_PRAGMAS = ['journal_mode=WAL', 'synchronous=NORMAL'];

/**
 * The Temporal dev server, with namespace `default` and our search attributes. With a `databaseFile` it remembers, and
 * a server that a killed run left behind over the same file is taken over (then the ports are the ones it has).
 */
export async function startTemporal(options: {
  binary: string;
  port: number;
  uiPort?: number;
  databaseFile?: string;
  logFile: string;
}): Promise<RunningTemporal> {
  refuseProduction();
  const { databaseFile } = options;
  const orphan = databaseFile === undefined ? undefined : await takeOver(databaseFile);
  if (orphan) return running(orphan, databaseFile);

  if (databaseFile === undefined) return running(await launch(options), databaseFile);

  // Histories hold the writes' content: the folder is for its owner alone.
  mkdirSync(dirname(databaseFile), { recursive: true, mode: 0o700 });
  const wasComplete = existsSync(completeMarkOf(databaseFile));
  const server = await launch(options).catch((error: unknown) => {
    if (wasComplete) throw error;
    // A first start that was killed leaves a file with half of its tables, which no later start accepts.
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${databaseFile}${suffix}`, { force: true });
    return launch(options);
  });
  if (!wasComplete) writePrivately(completeMarkOf(databaseFile), '');
  return running(server, databaseFile);
}

type Options = Parameters<typeof startTemporal>[0];
type Server = { pid: number; port: number; uiPort: number | undefined };

async function launch(options: Options): Promise<Server> {
  let port = options.port;
  for (let attempt = 1; ; attempt += 1) {
    port = await firstFreePort(port);
    const uiPort = options.uiPort === undefined ? undefined : await firstFreePort(options.uiPort, [port]);
    const spawnedAt = Date.now();
    const server = { pid: await spawnServer(options, port, uiPort), port, uiPort };
    if (await isReady(server, READY_TIMEOUT_MS)) {
      // Another server may have taken the port since we looked: then it answered, and ours is about to end.
      await sleep(Math.max(0, spawnedAt + BIND_MS - Date.now()));
      if (isAlive(server.pid)) return server;
    }
    await endProcess(server.pid, 0);
    if (attempt < START_ATTEMPTS && !(await isPortFree(port))) continue;
    throw new Error(`Temporal does not start on port ${port}. ${logTail(options.logFile)}`);
  }
}

async function spawnServer(options: Options, port: number, uiPort: number | undefined): Promise<number> {
  const log = openSync(options.logFile, 'a', 0o600);
  const child = spawn(options.binary, serverArguments({ port, uiPort, databaseFile: options.databaseFile }), {
    detached: true, // Ctrl-C reaches the launcher first, which stops this one last.
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  await once(child, 'spawn');
  child.unref();
  const pid = child.pid as number;
  if (options.databaseFile !== undefined) {
    writePrivately(pidFileOf(options.databaseFile), JSON.stringify({ pid, port, uiPort }));
  }
  return pid;
}

function serverArguments(wish: Omit<Server, 'pid'> & { databaseFile: string | undefined }): string[] {
  const ui = wish.uiPort === undefined ? ['--headless'] : ['--ui-port', String(wish.uiPort), '--ui-disable-news-fetch'];
  const attributes = SEARCH_ATTRIBUTE_NAMES.flatMap((name) => ['--search-attribute', `${name}=Keyword`]);
  const storage =
    wish.databaseFile === undefined
      ? []
      : ['--db-filename', wish.databaseFile, ...SQLITE_PRAGMAS.flatMap((pragma) => ['--sqlite-pragma', pragma])];
  const address = ['--ip', '127.0.0.1', '--port', String(wish.port)];
  return ['server', 'start-dev', ...address, ...ui, '--log-level', 'error', ...attributes, ...storage];
}

function running(server: Server, databaseFile: string | undefined): RunningTemporal {
  return {
    address: addressOf(server),
    ...(server.uiPort === undefined ? {} : { uiUrl: `http://127.0.0.1:${server.uiPort}` }),
    port: server.port,
    pid: server.pid,
    async stop() {
      // In memory there is nothing to bring to safety.
      await endProcess(server.pid, databaseFile === undefined ? 0 : STOP_GRACE_MS);
      if (databaseFile !== undefined) rmSync(pidFileOf(databaseFile), { force: true });
    },
  };
}

async function takeOver(databaseFile: string): Promise<Server | undefined> {
  const pidFile = pidFileOf(databaseFile);
  if (!existsSync(pidFile)) return undefined;
  const server = JSON.parse(readFileSync(pidFile, 'utf8')) as Server;
  // A pid is used again by the system: only a Temporal over this very file is ours.
  const command = commandLine(server.pid);
  if (!isAlive(server.pid) || !command.includes('start-dev') || !command.includes(databaseFile)) return undefined;
  if (await isReady(server, ORPHAN_READY_MS)) return server;
  await endProcess(server.pid, 0); // Two servers over one file would spoil it.
  return undefined;
}

/** The port opens before the namespace is there, and the first calls may still fail. */
async function isReady(server: Server, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline && isAlive(server.pid)) {
    if ((await acceptsConnections(server.port)) && (await hasNamespace(addressOf(server)))) return true;
    await sleep(POLL_MS);
  }
  return false;
}

async function hasNamespace(address: string): Promise<boolean> {
  // Subchannels are shared in a process, and a failed one waits a second before its next try: so each try has its own.
  const channelArgs = { 'grpc.use_local_subchannel_pool': 1 };
  const connection = Connection.lazy({ address, channelArgs });
  try {
    const call = () => connection.workflowService.describeNamespace({ namespace: NAMESPACE });
    await connection.withDeadline(Date.now() + 1_000, call);
    return true;
  } catch {
    return false;
  } finally {
    await connection.close().catch(() => {});
  }
}

function pidFileOf(databaseFile: string): string {
  return `${databaseFile}.pid`;
}

function completeMarkOf(databaseFile: string): string {
  return `${databaseFile}.complete`;
}

function addressOf(server: Server): string {
  return `127.0.0.1:${server.port}`;
}
