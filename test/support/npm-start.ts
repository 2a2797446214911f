import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LocalSystem } from '../../deploy/cli/local-json.ts';
import { isAlive, sendSignal } from '../../deploy/local/processes.ts';

/** The product as the README starts it, over the data in a folder. */
export type LocalRun = {
  readonly local: LocalSystem;
  /** All that it has printed. */
  readonly printed: string;
  /** What its user presses Ctrl-C for; resolves with npm's exit code when it has ended. */
  interrupt(): Promise<number | null>;
  /** Resolves when npm has ended. */
  readonly ended: Promise<unknown>;
};

const PROJECT_FOLDER = join(import.meta.dirname, '../..');
const READY_TIMEOUT_MS = 180_000;
const POLL_MS = 50;

/** `npm start`, until it is ready. */
export async function npmStart(dataDir: string, port: number): Promise<LocalRun> {
  const { PATH, HOME } = process.env;
  const child = spawn('npm', ['start'], {
    cwd: PROJECT_FOLDER,
    env: { PATH, HOME, DATA_DIR: dataDir, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, which gets Ctrl-C as the one of a terminal does.
    detached: true,
  });
  groups.add(child);
  const ended = once(child, 'exit');
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (printed += data.toString()));
  const deadline = Date.now() + READY_TIMEOUT_MS;
  // The text comes right after the file.
  while (!existsSync(join(dataDir, 'local.json')) || !/^curl .*\n(.*\\\n)*.*'$/m.test(printed)) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`npm start is not ready: ${printed}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const local: LocalSystem = JSON.parse(readFileSync(join(dataDir, 'local.json'), 'utf8'));
  return {
    local,
    get printed() {
      return printed;
    },
    ended,
    async interrupt() {
      sendSignal(-(child.pid as number), 'SIGINT');
      await ended;
      return child.exitCode;
    },
  };
}

/** Ends what a failed test has left: the launchers with their npm, and by its number whatever they have told of. */
export function endAll(systems: readonly LocalSystem[]): void {
  for (const child of groups)
    if (child.exitCode === null && child.signalCode === null) sendSignal(-(child.pid as number), 'SIGKILL');
  for (const { pids } of systems) {
    for (const pid of [pids.launcher, pids.api, pids.worker, pids.temporal])
      if (pid !== null) sendSignal(pid, 'SIGKILL');
    // On this a postmaster ends its backends as well.
    if (pids.postgres !== null) sendSignal(pids.postgres, 'SIGQUIT');
  }
}

const groups = new Set<ChildProcess>();
process.once('exit', () => endAll([]));

/** The names of those that still run. */
export function aliveOf({ pids }: LocalSystem): string[] {
  return Object.entries(pids).flatMap(([name, pid]) => (pid !== null && isAlive(pid) ? [name] : []));
}
