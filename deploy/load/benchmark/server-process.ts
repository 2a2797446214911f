import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { childEnvironment, projectFolder } from '../../cli/local-config.ts';
import { endProcess } from '../../local/processes.ts';
import { waitFor } from '../../local/wait-for.ts';

export type ServerProcess = { readonly pid: number; stop(): Promise<void> };

const DRAIN_MS = 20_000;

/** Starts a process as production does, except that it exits with its parent. Resolves when `readyUrl` answers 200. */
export async function startServerProcess(options: {
  readonly script: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly readyUrl: string;
  /** Its log goes to `logs/{name}.log` in this folder. */
  readonly folder: string;
  readonly name: string;
  readonly signal: AbortSignal;
}): Promise<ServerProcess> {
  const { script, readyUrl, name } = options;
  const logFile = join(options.folder, 'logs', `${name}.log`);
  const log = openSync(logFile, 'a', 0o600);
  const child = spawn(process.execPath, ['--import', 'tsx', 'deploy/local/exit-with-parent.ts', script], {
    cwd: projectFolder,
    env: childEnvironment(options.environment),
    detached: true,
    stdio: ['pipe', log, log],
  });
  closeSync(log);
  await once(child, 'spawn');
  const pid = child.pid as number;
  const exited = new AbortController();
  child.once('exit', () =>
    exited.abort(new Error(`${script} exited:\n${readFileSync(logFile, 'utf8').slice(-2_000)}`)),
  );
  const signal = AbortSignal.any([options.signal, exited.signal]);
  try {
    await waitFor(readyUrl, { isReady: (status) => status === 200, signal });
  } catch (error) {
    await endProcess(pid, 0);
    throw error;
  }
  return { pid, stop: () => endProcess(pid, DRAIN_MS) };
}
