import { join } from 'node:path';
import { freeLoopbackPort } from '../../../worker/free-port.ts';
import { keptSecret } from '../../cli/secrets.ts';
import { type ServerProcess, startServerProcess } from './server-process.ts';
import type { Servers } from './servers.ts';

export type Grouping = 'on' | 'off';

export type ApiProcess = ServerProcess & { readonly url: string };

/** The settings that differ from production, because one company sends the load of many. Printed with the figures. */
export const RAISED = {
  RATE_LIMIT_PER_SECOND: '1000000',
  RATE_LIMIT_BURST: '1000000',
  REPLAY_RATE_LIMIT_PER_SECOND: '1000000',
  LOG_LEVEL: 'warn',
} as const;

/** Starts the API as production does. */
export async function startApiProcess(options: {
  readonly servers: Pick<Servers, 'folder' | 'database' | 'temporalAddress'>;
  readonly bundle: string;
  readonly secret: string;
  readonly grouping: Grouping;
  readonly signal: AbortSignal;
  /** False: without metrics. */
  readonly instrumentation?: boolean;
  /** Any free one when left out. */
  readonly port?: number;
  /** Overrides everything else. */
  readonly environment?: Readonly<Record<string, string>>;
}): Promise<ApiProcess> {
  const { servers, grouping } = options;
  const port = options.port ?? (await freeLoopbackPort());
  const url = `http://127.0.0.1:${port}`;
  const api = await startServerProcess({
    script: options.instrumentation === false ? 'deploy/load/benchmark/uninstrumented-api.ts' : 'api/main.ts',
    environment: {
      ...RAISED,
      PORT: String(port),
      DATABASE_URL: servers.database.appDatabaseUrl,
      TEMPORAL_ADDRESS: servers.temporalAddress,
      JWT_SECRET: options.secret,
      PAYLOAD_KEYS: `benchmark:${keptSecret(join(servers.folder, 'payload-key'))}`,
      WORKFLOW_BUNDLE: options.bundle,
      WRITE_GROUPING: grouping,
      // Empty values unset the shell's: the benchmark signs its own tokens.
      ...{ HOST: '127.0.0.1', JWT_JWKS_URL: '', JWT_ISSUER: '', JWT_AUDIENCE: '', TEMPORAL_NAMESPACE: '' },
      ...options.environment,
    },
    readyUrl: `${url}/readyz`,
    folder: servers.folder,
    name: `api-grouping-${grouping}`,
    signal: options.signal,
  });
  return { ...api, url };
}
