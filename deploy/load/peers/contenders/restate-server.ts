import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freeLoopbackPort } from '../../../../worker/free-port.ts';
import { logTail } from '../../../local/log-tail.ts';
import { acceptsConnections } from '../../../local/ports.ts';
import { endProcess } from '../../../local/processes.ts';
import { waitFor } from '../../../local/wait-for.ts';
import type { Stage } from './contender.ts';
import { PEERS_FOLDER } from './versions.ts';

export type RestateServer = {
  readonly pid: number;
  readonly ingressUrl: string;
  /** Tells the server where the handlers are; it remembers that. */
  register(handlerPort: number): Promise<void>;
  stop(): Promise<void>;
};

const STOP_GRACE_MS = 8_000;
const POLL_MS = 50;
const LOG_LEVEL = 'error';

export async function startRestateServer(stage: Stage, folder: string): Promise<RestateServer> {
  const [node, ingress, admin] = [await freeLoopbackPort(), await freeLoopbackPort(), await freeLoopbackPort()];
  const adminUrl = `http://127.0.0.1:${admin}`;
  const logFile = join(stage.folder, 'logs', 'restate-server.log');
  const log = openSync(logFile, 'a', 0o600);
  const arguments_ = ['--base-dir', join(folder, 'restate'), '--node-name', 'peers'];
  const child = spawn(stage.recordingPid(restateBinary()), arguments_, {
    cwd: folder,
    env: {
      DO_NOT_TRACK: '1',
      RUST_LOG: LOG_LEVEL,
      RESTATE_LOG_FILTER: LOG_LEVEL,
      RESTATE_BIND_ADDRESS: `127.0.0.1:${node}`,
      RESTATE_ADVERTISED_ADDRESS: `http://127.0.0.1:${node}`,
      RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
      RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
    },
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  await once(child, 'spawn');
  const pid = child.pid as number;
  const exited = new AbortController();
  child.once('exit', () => exited.abort(new Error(`The Restate server exited. ${logTail(logFile)}`)));
  const signal = AbortSignal.any([stage.signal, exited.signal]);
  try {
    await waitFor(`${adminUrl}/health`, { isReady: (status) => status === 200, signal });
    while (!(await acceptsConnections(ingress))) {
      signal.throwIfAborted();
      await sleep(POLL_MS);
    }
  } catch (error) {
    await endProcess(pid, 0);
    throw error;
  }
  return {
    pid,
    ingressUrl: `http://127.0.0.1:${ingress}`,
    async register(handlerPort) {
      const answer = await fetch(`${adminUrl}/deployments`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ uri: `http://127.0.0.1:${handlerPort}`, force: true }),
      });
      if (!answer.ok) throw new Error(`Restate does not accept the handler: ${await answer.text()}`);
    },
    stop: () => endProcess(pid, STOP_GRACE_MS),
  };
}

function restateBinary(): string {
  const name = `@restatedev/restate-server-${process.platform}-${process.arch}`;
  const binary = join(PEERS_FOLDER, 'node_modules', name, 'bin', 'restate-server');
  if (existsSync(binary)) return binary;
  throw new Error(
    `The Restate server for this machine (${name}) is not installed. Run "npm ci --prefix deploy/load/peers", or leave ` +
      'it out with --contenders.',
  );
}
