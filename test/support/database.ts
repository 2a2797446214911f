import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';

/** A database of one test file: a clone of the migrated template, without API, worker or Temporal. */
export type TestDatabase = {
  readonly name: string;
  /** Sees all companies: for counting effects and for breaking things. */
  readonly owner: pg.Pool;
  /** The login of API and worker: `accubooks_app` from its first statement, and no company yet. */
  readonly appUrl: string;
  /** The login of the worker's relay. */
  readonly relayUrl: string;
  /** The login of the worker's maintenance of the audit log. */
  readonly maintenanceUrl: string;
  /** The login of the worker's sealer. */
  readonly sealerUrl: string;
  /** The login that reads all companies, and verifies archived months. */
  readonly auditorUrl: string;
  /** The login that asks for the erasure of a person. */
  readonly eraserUrl: string;
  drop(): Promise<void>;
};

/** `empty`: without the schema, for what makes one. */
export async function cloneDatabase({ empty = false } = {}): Promise<TestDatabase> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const template = empty ? 'template0' : inject('templateDatabase');
  // Copying the files takes a quarter of the time of the default, which writes every page into the log.
  await asSuperuser(
    `CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY FILE_COPY OWNER accubooks_owner`,
    // A clone has the tables of its template, and not the privileges on it as a database (migrate.ts).
    `REVOKE TEMPORARY ON DATABASE ${name} FROM PUBLIC`,
  );
  const owner = new pg.Pool({
    connectionString: withDatabase(inject('ownerUrl'), name),
    max: 8,
    connectionTimeoutMillis: 60_000,
  });
  owner.on('error', () => undefined);
  // A clone is another database than its template, and lanes of its own keep the tests apart.
  if (!empty) await owner.query('UPDATE verification SET version = gen_random_uuid(), incarnation = incarnation()');
  return {
    name,
    owner,
    appUrl: withDatabase(inject('appUrl'), name),
    relayUrl: withDatabase(inject('relayUrl'), name),
    maintenanceUrl: withDatabase(inject('maintenanceUrl'), name),
    sealerUrl: withDatabase(inject('sealerUrl'), name),
    auditorUrl: withDatabase(inject('auditorUrl'), name),
    eraserUrl: withDatabase(inject('eraserUrl'), name),
    async drop() {
      await owner.end();
      await asSuperuser(`DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

function withDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

async function asSuperuser(...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: inject('superuserUrl') });
  await client.connect();
  try {
    for (const sql of statements) await client.query(sql);
  } finally {
    await client.end();
  }
}
