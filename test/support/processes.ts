import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { compiled } from './program.ts';

/** A real process of a system, to be killed at any moment. Give it `system.environment`. */
export type SystemProcess = {
  readonly pid: number;
  /** The API's address; empty for a worker. */
  readonly url: string;
  /** Every log line so far. */
  readonly logs: readonly Record<string, unknown>[];
  /** SIGKILL: what it was doing is left as it is. */
  kill(): Promise<void>;
  /** SIGSTOP: it holds its connections and does nothing. */
  freeze(): void;
  thaw(): void;
  /** Waits until it has ended by itself with SIGKILL (see crash-at.ts). Throws if it has not in two minutes. */
  untilCrashed(): Promise<void>;
  /** SIGTERM: drains; answers the exit code. */
  terminate(): Promise<number | null>;
};

const CRASH_LIMIT_MS = 120_000;
const projectFolder = fileURLToPath(new URL('../../', import.meta.url));

export function startApiProcess(environment: Readonly<Record<string, string>>): Promise<SystemProcess> {
  return startProcess('api/main.ts', 'The API is listening', environment);
}

export function startWorkerProcess(environment: Readonly<Record<string, string>>): Promise<SystemProcess> {
  return startProcess('worker/main.ts', 'The worker is polling', { METRICS_PORT: '0', ...environment });
}

async function startProcess(
  script: string,
  readyMessage: string,
  environment: Readonly<Record<string, string>>,
): Promise<SystemProcess> {
  const child = spawn(process.execPath, [compiled(script)], {
    cwd: projectFolder,
    env: { PATH: process.env['PATH'], ...environment, LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  endWithTests(child);
  const logs: Record<string, unknown>[] = [];
  const errors: string[] = [];
  child.stderr?.on('data', (data: Buffer) => errors.push(data.toString()));
  const ready = new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const entry = parse(line);
      if (entry === undefined) return;
      logs.push(entry);
      if (entry['msg'] === readyMessage) resolve(typeof entry['url'] === 'string' ? entry['url'] : '');
    });
    child.once('exit', (code) => reject(new Error(`${script} ended with ${code}: ${errors.join('')}`)));
  });
  const url = await ready;
  const exited = once(child, 'exit');
  let isAskedToEnd = false;
  void exited.then(([code, signal]) => {
    const last = logs.slice(-3).map((entry) => JSON.stringify(entry));
    // Its clients only see that nobody answers.
    if (!isAskedToEnd) console.error(`${script} ended with ${code ?? signal}: ${[...last, ...errors].join('\n')}`);
  });
  const gone = () => child.exitCode !== null || child.signalCode !== null;
  return {
    pid: child.pid as number,
    url,
    logs,
    async kill() {
      isAskedToEnd = true;
      if (gone()) return;
      child.kill('SIGKILL');
      await exited;
    },
    async untilCrashed() {
      isAskedToEnd = true;
      await Promise.race([exited, sleep(CRASH_LIMIT_MS, undefined, { ref: false })]);
      if (!gone()) throw new Error(`${script} has not reached the point at which it was to end`);
      if (child.signalCode !== 'SIGKILL') throw new Error(`${script} ended with ${child.exitCode ?? child.signalCode}`);
    },
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    async terminate() {
      isAskedToEnd = true;
      if (!gone()) child.kill('SIGTERM');
      await exited;
      return child.exitCode;
    },
  };
}

/** A test that fails before it ends its processes must not leave them to the next run. */
function endWithTests(child: ChildProcess): void {
  if (children.size === 0) process.once('exit', () => children.forEach((each) => void each.kill('SIGKILL')));
  children.add(child);
}

const children = new Set<ChildProcess>();

function parse(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
