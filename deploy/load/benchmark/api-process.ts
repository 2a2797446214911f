import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freeLoopbackPort } from '../../../worker/free-port.ts';
import { childEnvironment, projectFolder } from '../../local/config.ts';
import { endProcess } from '../../local/processes.ts';
import { waitFor } from '../../local/wait-for.ts';
import type { Servers } from './throwaway.ts';

export type Grouping = 'on' | 'off';

export type ApiProcess = { readonly url: string; readonly pid: number; stop(): Promise<void> };

/** What a benchmark sets otherwise than production: one company sends what many would. It is printed with the figures. */
export const RAISED = {
  RATE_LIMIT_PER_SECOND: '1000000',
  RATE_LIMIT_BURST: '1000000',
  REPLAY_RATE_LIMIT_PER_SECOND: '1000000',
  LOG_LEVEL: 'warn',
} as const;

const DRAIN_MS = 20_000;

/** The API as production starts it, on a leash: it ends with us. */
export async function startApiProcess(options: {
  readonly servers: Servers;
  readonly bundle: string;
  readonly secret: string;
  readonly grouping: Grouping;
  readonly signal: AbortSignal;
  /** On top of everything else. */
  readonly environment?: Readonly<Record<string, string>>;
}): Promise<ApiProcess> {
  const { servers, grouping } = options;
  const port = await freeLoopbackPort();
  const logFile = join(servers.folder, 'logs', `api-grouping-${grouping}.log`);
  const log = openSync(logFile, 'a', 0o600);
  const child = spawn(process.execPath, ['--import', 'tsx', 'deploy/local/leash.ts', 'api/main.ts'], {
    cwd: projectFolder,
    env: childEnvironment({
      ...RAISED,
      PORT: String(port),
      DATABASE_URL: servers.database.appDatabaseUrl,
      TEMPORAL_ADDRESS: servers.temporalAddress,
      JWT_SECRET: options.secret,
      WORKFLOW_BUNDLE: options.bundle,
      WRITE_GROUPING: grouping,
      // An empty one is none: tokens are ours, whatever the shell has for others.
      ...{ HOST: '127.0.0.1', JWT_JWKS_URL: '', JWT_ISSUER: '', JWT_AUDIENCE: '', TEMPORAL_NAMESPACE: '' },
      ...options.environment,
    }),
    detached: true,
    stdio: ['pipe', log, log],
  });
  closeSync(log);
  await once(child, 'spawn');
  const pid = child.pid as number;
  const url = `http://127.0.0.1:${port}`;
  const died = new AbortController();
  child.once('exit', () => died.abort(new Error(`The API ended:\n${readFileSync(logFile, 'utf8').slice(-2_000)}`)));
  const signal = AbortSignal.any([options.signal, died.signal]);
  try {
    await waitFor(`${url}/readyz`, { isReady: (status) => status === 200, signal });
  } catch (error) {
    await endProcess(pid, 0);
    throw error;
  }
  return { url, pid, stop: () => endProcess(pid, DRAIN_MS) };
}
