import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { createAppDatabase, passwordsBy } from '../../../deploy/local/database.ts';
import { until } from '../held-invoice.ts';
import { PAYLOAD_KEYS } from '../payload-keys.ts';
import { JWT_SECRET } from '../tokens.ts';
import { type Cluster, type Clusters, DATABASE, openClusters } from './cluster.ts';
import { type Switch, startSwitch } from './database-switch.ts';
import { type OwnTemporal, startOwnTemporal } from './temporal.ts';

/** PostgreSQL and Temporal of one test file alone, of which PostgreSQL can come back as another than it was. */
export type FailoverServers = {
  /** What API and worker processes need: they reach PostgreSQL through the switch. */
  readonly environment: Readonly<Record<string, string>>;
  /** On top of it, for a process that reaches PostgreSQL another way. */
  databaseAt(port: number): Readonly<Record<string, string>>;
  readonly owner: pg.Pool;
  readonly clusters: Clusters;
  readonly database: Switch;
  readonly temporal: OwnTemporal;
  /** The cluster that holds the data now. */
  readonly primary: Cluster;
  /** From now on the switch leads there; every connection through it has ended. */
  replaceBy(cluster: Cluster): Promise<void>;
  /** A new cluster with roles, logins and schema, and without rows. */
  createEmpty(): Promise<Cluster>;
  stop(): Promise<void>;
};

export async function startFailoverServers(): Promise<FailoverServers> {
  const clusters = openClusters();
  const passwords = passwordsBy(() => randomBytes(16).toString('hex'));
  const createEmpty = async () => {
    const cluster = await clusters.create();
    const urls = await createAppDatabase({ superuserUrl: cluster.superuserUrl, database: DATABASE, passwords });
    return { cluster, urls };
  };
  const [first, temporal] = await Promise.all([createEmpty(), startOwnTemporal()]);
  let primary = first.cluster;
  const database = await startSwitch(primary.port);
  const at = (url: string, port: number) => Object.assign(new URL(url), { port: String(port) }).href;
  const databaseAt = (port: number) => ({
    DATABASE_URL: at(first.urls.appDatabaseUrl, port),
    RELAY_DATABASE_URL: at(first.urls.relayDatabaseUrl, port),
    MAINTENANCE_DATABASE_URL: at(first.urls.maintenanceDatabaseUrl, port),
    SEALER_DATABASE_URL: at(first.urls.sealerDatabaseUrl, port),
  });
  const owner = new pg.Pool({ connectionString: at(first.urls.databaseUrl, database.port), max: 4 });
  owner.on('error', () => undefined);
  return {
    environment: {
      ...databaseAt(database.port),
      TEMPORAL_ADDRESS: `127.0.0.1:${temporal.port}`,
      WORKFLOW_BUNDLE: inject('bundlePath'),
      JWT_SECRET,
      PAYLOAD_KEYS,
      PORT: '0',
    },
    databaseAt,
    owner,
    clusters,
    database,
    temporal,
    get primary() {
      return primary;
    },
    async replaceBy(cluster) {
      primary = cluster;
      database.leadTo(cluster.port);
      await until('the pool to notice', async () => owner.idleCount === 0);
    },
    createEmpty: async () => (await createEmpty()).cluster,
    async stop() {
      await owner.end();
      await database.close();
      await Promise.all([clusters.stop(), temporal.stop()]);
    },
  };
}
