import { randomUUID } from 'node:crypto';
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { inject } from 'vitest';
import { migrate } from '../../migrations/migrate.ts';

const RELEASED = join(import.meta.dirname, '../../migrations');

/** The owner may take them (docs/operating.md), for operator commands; it inherits none of their privileges. */
const PROCESS_ROLES = 'accubooks_app, accubooks_relay, accubooks_maintenance, accubooks_auditor';

/**
 * A database that is brought from one release to the next. Its owner has what a provided database has at least: it may create
 * roles and take those of the processes. It is no superuser, does not bypass row-level security, and sees no row of a table
 * whose row-level security is forced.
 */
export type Upgrade = {
  /** A superuser's: what the release before left, and what it goes on with. */
  readonly client: pg.Client;
  /** As the owner: the migrations before the one whose name ends so, such as `payroll_approval`. */
  migrateUpTo(name: string): Promise<void>;
  /** As the owner: all that are left. */
  migrateTheRest(): Promise<void>;
  /** Inserts rows as no sequence of requests makes them in short: triggers and foreign keys are off. */
  pastTriggers<T>(insert: () => Promise<T>): Promise<T>;
  drop(): Promise<void>;
};

export async function openUpgrade(): Promise<Upgrade> {
  const [database, owner, password] = [
    `upgrade_${randomUUID().replaceAll('-', '')}`,
    `upgrade_owner_${randomUUID().slice(0, 8)}`,
    randomUUID(),
  ];
  await asSuperuser(`CREATE ROLE ${owner} LOGIN CREATEROLE NOBYPASSRLS PASSWORD '${password}'`);
  await asSuperuser(`GRANT ${PROCESS_ROLES} TO ${owner} WITH INHERIT FALSE, SET TRUE`);
  await asSuperuser(`CREATE DATABASE ${database} OWNER ${owner}`);
  const superuserUrl = new URL(inject('superuserUrl'));
  superuserUrl.pathname = `/${database}`;
  const ownerUrl = new URL(superuserUrl);
  [ownerUrl.username, ownerUrl.password] = [owner, password];

  const folder = await mkdtemp(join(tmpdir(), 'accubooks-upgrade-'));
  const names = (await readdir(RELEASED)).filter((name) => /^\d{4}_.*\.sql$/.test(name)).toSorted();
  const apply = async (some: readonly string[]) => {
    for (const name of some) await copyFile(join(RELEASED, name), join(folder, name));
    await migrate({ connectionString: ownerUrl.href, folder });
  };
  const client = new pg.Client({ connectionString: superuserUrl.href });
  await client.connect();
  return {
    client,
    migrateUpTo(name) {
      const end = names.findIndex((one) => one.endsWith(`_${name}.sql`));
      if (end < 0) throw new Error(`There is no migration ${name}`);
      return apply(names.slice(0, end));
    },
    migrateTheRest: () => apply(names),
    async pastTriggers(insert) {
      await client.query("SET session_replication_role = 'replica'");
      try {
        return await insert();
      } finally {
        await client.query("SET session_replication_role = 'origin'");
      }
    },
    async drop() {
      await client.end();
      await asSuperuser(`DROP DATABASE ${database} WITH (FORCE)`);
      await asSuperuser(`DROP ROLE ${owner}`);
      await rm(folder, { recursive: true });
    },
  };
}

async function asSuperuser(sql: string): Promise<void> {
  const superuser = new pg.Client({ connectionString: inject('superuserUrl') });
  await superuser.connect();
  try {
    await superuser.query(sql);
  } finally {
    await superuser.end();
  }
}
