import { execFile, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { acceptsConnections, firstFreePort } from '../../deploy/local/ports.ts';
import { endProcess } from '../../deploy/local/processes.ts';
import type { RunningTemporal } from '../../deploy/local/temporal.ts';
import { setupTemporal } from '../../deploy/operator/setup-temporal.ts';
import { connectTemporal } from '../../worker/temporal.ts';
import type { TemporalServerBinaries } from './temporal-server.ts';

const run = promisify(execFile);

/** A port for each of its four services, and one more for how they find each other. */
const PORTS = 8;
const READY_TIMEOUT_MS = 90_000;
const RETENTION_DAYS = 3;
const STORES = { default: 'temporal', visibility: 'temporal_visibility' } as const;

/** A Temporal server whose histories are in PostgreSQL, set up by our own operator command; again over the same data. */
export async function startTemporalOnPostgres(options: {
  readonly binaries: TemporalServerBinaries;
  readonly superuserUrl: string;
  readonly folder: string;
  readonly port: number;
}): Promise<RunningTemporal> {
  const { binaries } = options;
  const folder = join(options.folder, 'temporal-server');
  const files = {
    config: join(folder, 'config.yaml'),
    dynamic: join(folder, 'dynamic.yaml'),
    log: join(folder, 'log'),
    ports: join(folder, 'ports.json'),
  };
  if (!existsSync(files.ports)) {
    const database = new URL(options.superuserUrl);
    for (const [store, name] of Object.entries(STORES)) await createSchema(binaries, database, name, schemaOf(store));
    const ports = await freePorts(options.port, PORTS);
    mkdirSync(folder, { recursive: true });
    // JSON is YAML. Longer workflow IDs than ours (255 bytes) are refused by the default, too; said here to be seen.
    writeFileSync(files.dynamic, JSON.stringify({ 'limit.maxIDLength': [{ value: 255 }] }));
    writeFileSync(files.config, JSON.stringify(configuration(database, ports, files.dynamic)));
    writeFileSync(files.ports, JSON.stringify(ports));
  }
  const [port = 0] = JSON.parse(readFileSync(files.ports, 'utf8')) as number[];
  const log = openSync(files.log, 'a');
  const words = ['--config-file', files.config, '--allow-no-auth', 'start'];
  const child = spawn(binaries.server, words, { detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  const pid = child.pid as number;
  const address = `127.0.0.1:${port}`;
  await untilSetUp(address, port);
  return { address, port, pid, stop: () => endProcess(pid, 0) };
}

function schemaOf(store: string): string {
  return join(store === 'default' ? 'temporal' : 'visibility', 'versioned');
}

async function createSchema(
  { sqlTool, schema }: TemporalServerBinaries,
  { hostname, port, username, password }: URL,
  name: string,
  versions: string,
): Promise<void> {
  const common = ['--plugin', 'postgres12', '--ep', hostname, '-p', port, '-u', username, '--pw', password];
  const tool = (...words: string[]) => run(sqlTool, [...common, '--db', name, ...words]);
  await tool('create-database');
  await tool('setup-schema', '-v', '0.0');
  await tool('update-schema', '-d', join(schema, versions));
}

/** The server's own development configuration for PostgreSQL, on ports of ours. */
function configuration(database: URL, ports: readonly number[], dynamicFile: string) {
  const store = (databaseName: string, maxConns: number) => ({
    sql: {
      pluginName: 'postgres12',
      databaseName,
      connectAddr: database.host,
      connectProtocol: 'tcp',
      user: database.username,
      password: database.password,
      maxConns,
      maxIdleConns: maxConns,
      maxConnLifetime: '1h',
    },
  });
  const service = (index: number) => ({
    rpc: { grpcPort: ports[index], membershipPort: ports[index + 4], bindOnLocalHost: true },
  });
  return {
    log: { stdout: true, level: 'error' },
    persistence: {
      defaultStore: 'default',
      visibilityStore: 'visibility',
      numHistoryShards: 4,
      datastores: { default: store(STORES.default, 20), visibility: store(STORES.visibility, 4) },
    },
    global: { membership: { maxJoinDuration: '30s', broadcastAddress: '127.0.0.1' } },
    services: { frontend: service(0), matching: service(1), history: service(2), worker: service(3) },
    clusterMetadata: {
      enableGlobalNamespace: false,
      failoverVersionIncrement: 10,
      masterClusterName: 'active',
      currentClusterName: 'active',
      clusterInformation: {
        active: {
          enabled: true,
          initialFailoverVersion: 1,
          rpcName: 'frontend',
          rpcAddress: `127.0.0.1:${ports[0]}`,
        },
      },
    },
    dcRedirectionPolicy: { policy: 'noop' },
    dynamicConfigClient: { filepath: dynamicFile, pollInterval: '10s' },
  };
}

async function freePorts(first: number, count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await firstFreePort((ports.at(-1) ?? first - 1) + 1));
  return ports;
}

async function untilSetUp(address: string, port: number): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (true) {
    try {
      if (!(await acceptsConnections(port))) throw new Error(`nothing listens at ${address}`);
      const connection = await connectTemporal({ TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: 'default' });
      try {
        await setupTemporal(connection, 'default', RETENTION_DAYS);
        return;
      } finally {
        await connection.close();
      }
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}
