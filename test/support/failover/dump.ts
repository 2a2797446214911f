import { chownSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import type { Cluster } from './cluster.ts';

/** What pg_dump would take of a database, and pg_restore bring back; the embedded package has neither. */
export type Dump = {
  readonly folder: string;
  readonly tables: readonly string[];
  readonly sequences: readonly Sequence[];
};

type Sequence = { readonly name: string; readonly value: string };

/** All tables that hold rows of ours, as they were at one moment. A partition is a table of its own. */
export async function takeDump(cluster: Cluster): Promise<Dump> {
  const folder = join(cluster.files, 'dump');
  const { uid, gid } = statSync(cluster.files);
  mkdirSync(folder);
  chownSync(folder, uid, gid);
  return cluster.session(async (superuser) => {
    await superuser.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const tables = await names(superuser, "SELECT oid::regclass AS name FROM pg_class WHERE relkind = 'r'");
    for (const table of tables) await superuser.query(`COPY ${table} TO '${join(folder, table)}'`);
    const sequences = await names(superuser, "SELECT oid::regclass AS name FROM pg_class WHERE relkind = 'S'");
    const values = [];
    for (const name of sequences) {
      const { rows } = await superuser.query(`SELECT last_value::text AS value FROM ${name} WHERE is_called`);
      if (rows[0] !== undefined) values.push({ name, value: rows[0].value });
    }
    await superuser.query('COMMIT');
    return { folder, tables, sequences: values };
  });
}

/** Into a database that has the schema and nothing that is worth keeping. */
export async function restoreDump(cluster: Cluster, { folder, tables, sequences }: Dump): Promise<void> {
  await cluster.session(async (superuser) => {
    await superuser.query('BEGIN');
    // Neither triggers nor foreign keys: the order of the tables does not matter.
    await superuser.query("SET LOCAL session_replication_role = 'replica'");
    await superuser.query(`TRUNCATE ${tables.join(', ')} CASCADE`);
    for (const table of tables) await superuser.query(`COPY ${table} FROM '${join(folder, table)}'`);
    for (const { name, value } of sequences) await superuser.query('SELECT setval($1, $2)', [name, value]);
    await superuser.query('COMMIT');
  });
}

async function names(superuser: pg.Client, sql: string): Promise<string[]> {
  const { rows } = await superuser.query<{ name: string }>(
    `${sql} AND relnamespace::regnamespace::text NOT LIKE 'pg\\_%' AND relnamespace <> 'information_schema'::regnamespace
     ORDER BY oid`,
  );
  return rows.map(({ name }) => name);
}
