import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { DAY_S } from '../../activities/durations.ts';
import { callWithin } from '../../worker/call-within.ts';
import { SEARCH_ATTRIBUTE_NAMES } from '../../workflows/search-attributes.ts';
import { refuseProduction } from '../cli/local-config.ts';
import { writePrivately } from '../cli/secrets.ts';
import { DEFAULT_RETENTION_DAYS } from '../operator/retention.ts';
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
/** A healthy server of an earlier run answers at once; one that does not is killed, which loses nothing in its file. */
const ORPHAN_READY_MS = 3_000;
const POLL_MS = 20;
/** The dev server's own default, a day, is too short: after a restart no verification could rely on what Temporal remembers. */
const RETENTION_S = DEFAULT_RETENTION_DAYS * DAY_S;
const START_ATTEMPTS = 5;
/** Measured: a server whose port is in use exits within 140 ms. */
const BIND_MS = 400;
/** Measured: a stop takes up to 3.1 s with a database file. */
const STOP_GRACE_MS = 8_000;

/** WAL and NORMAL survive a kill of the process; the default, a sync per transaction, halves the throughput. */
const SQLITE_PRAGMAS = ['journal_mode=WAL', 'synchronous=NORMAL'];

/**
 * Starts the Temporal dev server with the namespace `default` and our search attributes. With a `databaseFile` it is
 * persistent, and a server that a killed run left behind on the same file is taken over with the ports it has.
 */
export async function startTemporal(options: {
  binary: string;
  port: number;
  uiPort?: number;
  /** Where the UI has payloads decrypted. */
  codecUrl?: string;
  databaseFile?: string;
  logFile: string;
}): Promise<RunningTemporal> {
  refuseProduction();
  const { databaseFile } = options;
  const orphan = databaseFile === undefined ? undefined : await takeOver(databaseFile);
  if (orphan) return running(orphan, databaseFile);

  if (databaseFile === undefined) return running(await launch(options), databaseFile);

  // Histories contain the writes' data, so only the owner may read the folder.
  mkdirSync(dirname(databaseFile), { recursive: true, mode: 0o700 });
  const wasComplete = existsSync(completeMarkOf(databaseFile));
  const server = await launch(options).catch((error: unknown) => {
    if (wasComplete) throw error;
    // A killed first start leaves a file with half of its tables, which no later start accepts.
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
    const spawnedAt = performance.now();
    const server = { pid: await spawnServer(options, port, uiPort), port, uiPort };
    if (await isReady(server, READY_TIMEOUT_MS)) {
      // If another server took the port after the check, that server answered and ours is about to exit.
      await sleep(Math.max(0, spawnedAt + BIND_MS - performance.now()));
      if (isAlive(server.pid)) return server;
    }
    await endProcess(server.pid, 0);
    if (attempt < START_ATTEMPTS && !(await isPortFree(port))) continue;
    throw new Error(`Temporal does not start on port ${port}. ${logTail(options.logFile)}`);
  }
}

async function spawnServer(options: Options, port: number, uiPort: number | undefined): Promise<number> {
  const log = openSync(options.logFile, 'a', 0o600);
  const child = spawn(
    options.binary,
    serverArguments({ port, uiPort, codecUrl: options.codecUrl, databaseFile: options.databaseFile }),
    {
      detached: true, // Ctrl-C must reach only the launcher, which stops this server last.
      stdio: ['ignore', log, log],
    },
  );
  closeSync(log);
  await once(child, 'spawn');
  child.unref();
  const pid = child.pid as number;
  if (options.databaseFile !== undefined) {
    writePrivately(pidFileOf(options.databaseFile), JSON.stringify({ pid, port, uiPort }));
  }
  return pid;
}

function serverArguments(
  options: Omit<Server, 'pid'> & { databaseFile: string | undefined; codecUrl: string | undefined },
): string[] {
  const ui =
    options.uiPort === undefined ? ['--headless'] : ['--ui-port', String(options.uiPort), '--ui-disable-news-fetch'];
  const codec =
    options.uiPort === undefined || options.codecUrl === undefined ? [] : ['--ui-codec-endpoint', options.codecUrl];
  const attributes = SEARCH_ATTRIBUTE_NAMES.flatMap((name) => ['--search-attribute', `${name}=Keyword`]);
  const storage =
    options.databaseFile === undefined
      ? []
      : ['--db-filename', options.databaseFile, ...SQLITE_PRAGMAS.flatMap((pragma) => ['--sqlite-pragma', pragma])];
  const address = ['--ip', '127.0.0.1', '--port', String(options.port)];
  return ['server', 'start-dev', ...address, ...ui, ...codec, '--log-level', 'error', ...attributes, ...storage];
}

function running(server: Server, databaseFile: string | undefined): RunningTemporal {
  return {
    address: addressOf(server),
    ...(server.uiPort === undefined ? {} : { uiUrl: `http://127.0.0.1:${server.uiPort}` }),
    port: server.port,
    pid: server.pid,
    async stop() {
      // Without a file there is nothing to save, so no grace period.
      await endProcess(server.pid, databaseFile === undefined ? 0 : STOP_GRACE_MS);
      if (databaseFile !== undefined) rmSync(pidFileOf(databaseFile), { force: true });
    },
  };
}

async function takeOver(databaseFile: string): Promise<Server | undefined> {
  const pidFile = pidFileOf(databaseFile);
  if (!existsSync(pidFile)) return undefined;
  const server = JSON.parse(readFileSync(pidFile, 'utf8')) as Server;
  // Process IDs are reused: only a Temporal server on this file is ours.
  const command = commandLine(server.pid);
  if (!isAlive(server.pid) || !command.includes('start-dev') || !command.includes(databaseFile)) return undefined;
  if (await isReady(server, ORPHAN_READY_MS)) return server;
  await endProcess(server.pid, 0); // Two servers on one file would corrupt it.
  return undefined;
}

/** The port opens before the namespace exists, and the first calls may still fail. */
async function isReady(server: Server, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline && isAlive(server.pid)) {
    if ((await acceptsConnections(server.port)) && (await hasNamespace(addressOf(server)))) return true;
    await sleep(POLL_MS);
  }
  return false;
}

async function hasNamespace(address: string): Promise<boolean> {
  // gRPC shares subchannels within a process, and a failed one waits a second before it reconnects; so do not share it.
  const channelArgs = { 'grpc.use_local_subchannel_pool': 1 };
  const connection = Connection.lazy({ address, channelArgs });
  try {
    const { workflowService } = connection;
    await callWithin(connection, 1_000, async () => {
      const { config } = await workflowService.describeNamespace({ namespace: NAMESPACE });
      if (Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) >= RETENTION_S) return;
      const workflowExecutionRetentionTtl = { seconds: RETENTION_S } as never;
      await workflowService.updateNamespace({ namespace: NAMESPACE, config: { workflowExecutionRetentionTtl } });
    });
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
