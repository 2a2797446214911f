import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Client, Connection } from '@temporalio/client';
import { isPortFree } from '../../../deploy/local/ports.ts';
import { endProcess } from '../../../deploy/local/processes.ts';
import { startTemporal } from '../../../deploy/local/temporal.ts';
import { resolveTemporalBinary } from '../../../deploy/local/temporal-binary.ts';
import { openThrowawayFolder } from '../../../deploy/local/throwaway-folder.ts';
import { createClient } from '../../../worker/client.ts';
import { until } from '../held-invoice.ts';
import { PAYLOADS } from '../payload-keys.ts';
import { randomPort } from './cluster.ts';

/** A Temporal server of one test, which it takes away, empties, and sets back in time. */
export type OwnTemporal = {
  readonly port: number;
  /** Of the server as it runs at the moment; close its connection. */
  connect(): Promise<Client>;
  /** SIGKILL. */
  kill(): Promise<void>;
  startAgain(): Promise<void>;
  /** Its data as they are now: the server is away for a moment. */
  copy(): Promise<string>;
  /** Comes back with the data of that copy, or with none. */
  comeBackWith(copy?: string): Promise<void>;
  stop(): Promise<void>;
};

export async function startOwnTemporal(): Promise<OwnTemporal> {
  const folder = openThrowawayFolder();
  const data = join(folder.path, 'temporal');
  const binary = folder.recordingPid(await resolveTemporalBinary(() => undefined));
  const start = (port: number) =>
    startTemporal({
      binary,
      port,
      databaseFile: join(data, 'temporal.db'),
      logFile: join(folder.path, 'temporal.log'),
    });
  let server = await start(randomPort());
  const { port } = server;
  let copies = 0;
  const kill = async () => {
    await endProcess(server.pid, 0);
    // Its threads may have the port for a moment longer.
    await until('the port to be free', () => isPortFree(port));
  };
  const startAgain = async () => {
    server = await start(port);
    if (server.port !== port) throw new Error('Temporal came back on another port');
  };
  return {
    port,
    connect: async () => createClient(await Connection.connect({ address: `127.0.0.1:${port}` }), PAYLOADS),
    kill,
    startAgain,
    async copy() {
      await kill();
      copies += 1;
      const copy = join(folder.path, `copy-${copies}`);
      cpSync(data, copy, { recursive: true });
      await startAgain();
      return copy;
    },
    async comeBackWith(copy) {
      await kill();
      rmSync(data, { recursive: true });
      if (copy === undefined) mkdirSync(data);
      else cpSync(copy, data, { recursive: true });
      await startAgain();
    },
    async stop() {
      await kill();
      folder.remove();
    },
  };
}
