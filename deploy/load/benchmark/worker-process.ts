import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { freeLoopbackPort } from '../../../worker/free-port.ts';
import { keptSecret } from '../../cli/secrets.ts';
import { RAISED } from './api-process.ts';
import { type ServerProcess, startServerProcess } from './server-process.ts';
import type { Servers } from './servers.ts';

/** `url`: where its metrics are. */
export type WorkerProcess = ServerProcess & { readonly url: string };

/** Starts the worker as production does, except that it may call a receiver on this machine. */
export async function startWorkerProcess(options: {
  readonly servers: Pick<Servers, 'folder' | 'database' | 'temporalAddress'>;
  readonly bundle: string;
  readonly signal: AbortSignal;
  /** Overrides everything else. */
  readonly environment?: Readonly<Record<string, string>>;
}): Promise<WorkerProcess> {
  const { servers, bundle, signal } = options;
  const port = await freeLoopbackPort();
  const url = `http://127.0.0.1:${port}`;
  const worker = await startServerProcess({
    script: 'worker/main.ts',
    environment: {
      ...RAISED,
      METRICS_PORT: String(port),
      DATABASE_URL: servers.database.appDatabaseUrl,
      RELAY_DATABASE_URL: servers.database.relayDatabaseUrl,
      MAINTENANCE_DATABASE_URL: servers.database.maintenanceDatabaseUrl,
      SEALER_DATABASE_URL: servers.database.sealerDatabaseUrl,
      TEMPORAL_ADDRESS: servers.temporalAddress,
      WORKFLOW_BUNDLE: bundle,
      PAYLOAD_KEYS: `benchmark:${keptSecret(join(servers.folder, 'payload-key'))}`,
      WEBHOOK_MASTER_KEY: randomBytes(32).toString('hex'),
      WEBHOOK_ALLOW_PRIVATE: '1',
      ...{ HOST: '127.0.0.1', TEMPORAL_NAMESPACE: '', NODE_ENV: '' },
      ...options.environment,
    },
    readyUrl: `${url}/livez`,
    folder: servers.folder,
    name: 'worker',
    signal,
  });
  return { ...worker, url };
}
