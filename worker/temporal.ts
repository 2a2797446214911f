import {
  DefaultLogger,
  makeTelemetryFilterString,
  NativeConnection,
  type NativeConnectionOptions,
  Runtime,
} from '@temporalio/worker';
import type { Logger } from 'pino';
import { SEARCH_ATTRIBUTE_NAMES } from '../workflows/search-attributes.ts';
import type { TemporalConfig } from './config.ts';

/**
 * Configures Temporal's core once for this process: its logs go to our logger, and its metrics to a loopback port from
 * which `/metrics` reads them.
 */
export function installRuntime(logger: Logger, coreMetricsAddress: string | undefined): void {
  Runtime.install({
    // We shut down in our own order (server, worker, connection, pool), so the SDK must not handle signals.
    shutdownSignals: [],
    logger: new DefaultLogger('INFO', ({ level, message, meta }) => {
      const write = level === 'ERROR' ? 'error' : level === 'WARN' ? 'warn' : 'debug';
      logger[write](meta ?? {}, message);
    }),
    telemetryOptions: {
      // Without this, core prints its warnings as plain text between our lines of JSON.
      logging: { forward: {}, filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }) },
      ...(coreMetricsAddress === undefined
        ? {}
        : {
            metrics: {
              prometheus: {
                bindAddress: coreMetricsAddress,
                countersTotalSuffix: true,
                histogramBucketOverrides: Object.fromEntries(CORE_LATENCIES.map((name) => [name, CORE_BUCKETS_MS])),
              },
            },
          }),
    },
  });
}

/** The core latencies that the dashboards show. Core's default buckets start at 50 ms, far above the latency of a write. */
const CORE_LATENCIES = [
  'request_latency',
  'workflow_endtoend_latency',
  'workflow_task_schedule_to_start_latency',
  'workflow_task_execution_latency',
  'local_activity_execution_latency',
];
const CORE_BUCKETS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000];

/** One connection for a process's client and worker: an eager start requires that both share it. */
export function connectTemporal(config: TemporalConfig): Promise<NativeConnection> {
  return NativeConnection.connect({
    address: config.TEMPORAL_ADDRESS,
    // Messages are small and the network is local: compression costs more than it saves.
    grpcCompression: { codec: 'none' },
    ...(config.TEMPORAL_API_KEY === undefined ? {} : { apiKey: config.TEMPORAL_API_KEY }),
    ...tls(config),
  });
}

/** Throws when the namespace or a search attribute is missing, because Temporal would refuse every start. */
export async function checkNamespace(connection: NativeConnection, config: TemporalConfig): Promise<void> {
  const namespace = config.TEMPORAL_NAMESPACE;
  await connection.workflowService.describeNamespace({ namespace });
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  const missing = SEARCH_ATTRIBUTE_NAMES.filter((name) => !Object.hasOwn(customAttributes ?? {}, name));
  if (missing.length > 0) {
    throw new Error(
      `Temporal's namespace ${namespace} lacks the search attributes ${missing.join(', ')}: run npm run temporal:setup`,
    );
  }
}

function tls(config: TemporalConfig): Pick<NativeConnectionOptions, 'tls'> {
  const { TEMPORAL_TLS_CERT: cert, TEMPORAL_TLS_KEY: key, TEMPORAL_TLS_SERVER_CA: ca } = config;
  const serverName = config.TEMPORAL_TLS_SERVER_NAME;
  if (cert === undefined && ca === undefined && serverName === undefined) {
    // Temporal Cloud accepts API keys over TLS only.
    return config.TEMPORAL_API_KEY === undefined ? {} : { tls: true };
  }
  return {
    tls: {
      ...(serverName === undefined ? {} : { serverNameOverride: serverName }),
      ...(ca === undefined ? {} : { serverRootCACertificate: Buffer.from(ca) }),
      ...(cert === undefined || key === undefined
        ? {}
        : { clientCertPair: { crt: Buffer.from(cert), key: Buffer.from(key) } }),
    },
  };
}
