import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, DatabaseError } from 'pg';

/** Any constant will do as long as no other program takes the same one in our database. */
const MIGRATION_LOCK_ID = 4_072_198_316;

/** A second migrator waits this long for the first: the longest migration plus room. */
const MIGRATION_LOCK_WAIT = '15min';

/** DDL that waits for a lock blocks every query behind it, so it gives up soon; running again is always safe. */
const STATEMENT_LOCK_WAIT = '10s';

/** Months of the logs' partitions that stand ready after each run; the worker's maintenance keeps it so. */
const PARTITION_MONTHS_AHEAD = 24;

/** Each makes the partitions of one log. */
const PARTITION_MAKERS = ['ensure_audit_partitions', 'ensure_security_partitions'] as const;

/** The generated dump lies beside the migrations, and is none. */
const SCHEMA_DUMP_FILE = 'schema.sql';

interface Migration {
  name: string;
  sql: string;
  sha256: string;
}

/**
 * Brings a database to this release: applies each `NNNN_name.sql` that it has not seen, in order, each in one
 * transaction with its record. Forward only. Two migrators at once are safe: the second waits, then finds the work done.
 *
 * Needs a direct connection (a transaction pooler would lose the session's lock) of the role that owns the database.
 * Throws before anything is changed when a file that was applied has been edited, renamed or removed.
 */
export async function migrate(options: {
  connectionString: string;
  log?: (line: string) => void;
  folder?: string;
}): Promise<{ applied: string[] }> {
  const log = options.log ?? (() => {});
  const migrations = await readMigrations(options.folder ?? import.meta.dirname);
  const client = new Client({ connectionString: options.connectionString, application_name: 'accubooks-migrate' });
  await client.connect();
  try {
    await client.query(`SET search_path = public; SET lock_timeout = '${MIGRATION_LOCK_WAIT}'`);
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK_ID]);
    await client.query(`SET lock_timeout = '${STATEMENT_LOCK_WAIT}'`);

    const pending = await findPending(client, migrations);
    for (const migration of pending) {
      await apply(client, migration);
      log(`applied ${migration.name}`);
    }
    await ensurePartitions(client);
    await letProcessesSee(client);
    await refuseTemporaryTables(client, log);
    return { applied: pending.map((migration) => migration.name) };
  } finally {
    await client.end(); // ends the session, and with it the advisory lock
  }
}

/**
 * The migrations of this release that the database has not had yet; it may have later ones, too. Works with the login of
 * a process: a new release waits with it until its schema is there.
 */
export async function missingMigrations(connectionString: string, folder = import.meta.dirname): Promise<string[]> {
  const migrations = await readMigrations(folder);
  const client = new Client({ connectionString, application_name: 'accubooks-wait-for-schema' });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>('SELECT name FROM public.schema_migrations');
    const applied = new Set(rows.map(({ name }) => name));
    return migrations.map(({ name }) => name).filter((name) => !applied.has(name));
  } finally {
    await client.end();
  }
}

/**
 * What `migrate` would apply, and to which database; `known` were applied before. Changes nothing. Throws as `migrate` does when a file that was
 * applied has been edited, renamed or removed.
 */
export async function planMigration(options: {
  connectionString: string;
  folder?: string;
}): Promise<{ database: string; known: number; pending: { name: string; sha256: string }[] }> {
  const migrations = await readMigrations(options.folder ?? import.meta.dirname);
  const client = new Client({ connectionString: options.connectionString, application_name: 'accubooks-migrate' });
  await client.connect();
  try {
    await client.query('SET default_transaction_read_only = on');
    const { rows } = await client.query<{ database: string; known: boolean }>(
      "SELECT current_database() AS database, to_regclass('public.schema_migrations') IS NOT NULL AS known",
    );
    const records = rows[0]?.known ? await readRecords(client) : [];
    const pending = pendingAfter(records, migrations).map(({ name, sha256 }) => ({ name, sha256 }));
    return { database: rows[0]?.database ?? '', known: records.length, pending };
  } finally {
    await client.end();
  }
}

/** Reads the folder and refuses what could be applied in two orders, or not as one transaction. */
async function readMigrations(folder: string): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql') && name !== SCHEMA_DUMP_FILE).sort();
  for (const [index, name] of names.entries()) {
    if (!/^\d{4}_[a-z0-9_]+\.sql$/.test(name)) {
      throw new Error(`${name} is not named like a migration: NNNN_name.sql, lower case. Rename it.`);
    }
    const expected = String(index + 1).padStart(4, '0');
    if (!name.startsWith(expected)) {
      throw new Error(
        `Migrations are numbered 0001, 0002, … without a gap or a double: number ${expected} was expected, ` +
          `${name} found. Renumber the migration that has not been released yet.`,
      );
    }
  }
  return Promise.all(names.map((name) => readMigration(folder, name)));
}

async function readMigration(folder: string, name: string): Promise<Migration> {
  const sql = await readFile(join(folder, name), 'utf8');
  // A COMMIT of its own would part the migration from its record: half of it would stay after a failure.
  if (/^\s*(BEGIN|START\s+TRANSACTION|COMMIT|ROLLBACK)\s*;/im.test(withoutFunctionBodies(sql))) {
    throw new Error(`${name} begins or ends a transaction. Take that out: each file already runs in one.`);
  }
  return { name, sql, sha256: createHash('sha256').update(sql).digest('hex') };
}

/** Functions, between `$$` and `$$`, have their own BEGIN, and procedures their own COMMIT. */
function withoutFunctionBodies(sql: string): string {
  return sql.replace(/(\$\w*\$)[\s\S]*?\1/g, '');
}

async function findPending(client: Client, migrations: readonly Migration[]): Promise<Migration[]> {
  await client.query(`
    CREATE TABLE IF NOT EXISTS public.schema_migrations (
      name       text        PRIMARY KEY,
      sha256     text        NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now()
    )`);
  return pendingAfter(await readRecords(client), migrations);
}

type Record = { name: string; sha256: string };

async function readRecords(client: Client): Promise<Record[]> {
  return (await client.query<Record>('SELECT name, sha256 FROM public.schema_migrations ORDER BY name')).rows;
}

/** Those that are not recorded. Throws when one that is differs from this release's. */
function pendingAfter(records: readonly Record[], migrations: readonly Migration[]): Migration[] {
  const byName = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const record of records) {
    const migration = byName.get(record.name);
    if (!migration) {
      throw new Error(
        `${record.name} was applied to this database, but this release does not have it. ` +
          'Run the release that has it (or a newer one); if the file was renamed or removed, bring it back.',
      );
    }
    if (migration.sha256 !== record.sha256) {
      throw new Error(
        `${record.name} was edited after it had been applied to this database. ` +
          'Bring the file back as it was released, and put the change into a new migration.',
      );
    }
  }
  const applied = new Set(records.map((record) => record.name));
  return migrations.filter((migration) => !applied.has(migration.name));
}

async function apply(client: Client, migration: Migration): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query(migration.sql);
    await client.query('INSERT INTO public.schema_migrations (name, sha256) VALUES ($1, $2)', [
      migration.name,
      migration.sha256,
    ]);
    await client.query('SET CONSTRAINTS ALL IMMEDIATE'); // so that a deferred check fails here, not at COMMIT
  } catch (error) {
    // The failure to report is the first one; a connection that is gone has rolled back by itself.
    await client.query('ROLLBACK').catch(() => {});
    throw new Error(`${migration.name}${lineOf(error, migration.sql)}: ${String(error)}. Nothing of it was kept.`, {
      cause: error,
    });
  }
  // A connection lost at COMMIT leaves the outcome open: that error passes as it is, and the next run finds out.
  await client.query('COMMIT');
}

/** PostgreSQL gives the position of an error as a count of characters; people look for a line. */
function lineOf(error: unknown, sql: string): string {
  if (!(error instanceof DatabaseError) || error.position === undefined) return '';
  return ` line ${sql.slice(0, Number(error.position)).split('\n').length}`;
}

/** Partitions depend on the month in which we run, so they are no migration but made anew after each run. */
async function ensurePartitions(client: Client): Promise<void> {
  for (const maker of PARTITION_MAKERS) {
    const { rows } = await client.query(
      "SELECT FROM pg_proc WHERE proname = $1 AND pronamespace = 'public'::regnamespace",
      [maker],
    );
    // Without it, this is a database that is being built, before its log.
    if (rows.length > 0) await client.query(`SELECT public.${maker}($1)`, [PARTITION_MONTHS_AHEAD]);
  }
}

/** A process's login may see which migrations there are: the table is older than its role, so none of them grants it. */
async function letProcessesSee(client: Client): Promise<void> {
  const { rows } = await client.query("SELECT FROM pg_roles WHERE rolname = 'accubooks_app'");
  if (rows.length > 0) await client.query('GRANT SELECT ON public.schema_migrations TO accubooks_app');
}

/**
 * PostgreSQL looks at temporary tables before ours, and lets everyone create them. That is a privilege on the database, which
 * neither a template nor a dump carries over, so that it is no migration but taken away after each run. Without the right
 * to do so this only warns, and the processes refuse to start (worker/login.ts).
 */
async function refuseTemporaryTables(client: Client, log: (line: string) => void): Promise<void> {
  await client.query(
    "DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$",
  );
  const { rows } = await client.query<{ name: string }>(
    `SELECT quote_ident(datname) AS name FROM pg_database d, aclexplode(coalesce(datacl, acldefault('d', datdba))) a
     WHERE datname = current_database() AND a.grantee = 0 AND a.privilege_type = 'TEMPORARY'`,
  );
  if (rows[0] === undefined) return;
  log(
    `This login does not own the database: have its owner run REVOKE TEMPORARY ON DATABASE ${rows[0].name} FROM PUBLIC, ` +
      'or the processes refuse to start.',
  );
}
