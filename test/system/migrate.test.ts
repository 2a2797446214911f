import { copyFile, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { migrate } from '../../migrations/migrate.ts';

const DATABASE = 'migrate_test';

let folder: string;
let client: Client;
const databaseUrl = new URL(inject('superuserUrl'));
databaseUrl.pathname = `/${DATABASE}`;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accubooks-migrate-'));
  await asSuperuser(`CREATE DATABASE ${DATABASE}`);
  client = new Client({ connectionString: databaseUrl.href });
  await client.connect();
});

afterEach(async () => {
  await client.end();
  await asSuperuser(`DROP DATABASE ${DATABASE} WITH (FORCE)`);
  await rm(folder, { recursive: true });
});

describe('migrating', () => {
  test('applies each file once, in order', async () => {
    await file('0001_first.sql', 'CREATE TABLE steps (name text); INSERT INTO steps VALUES (1)');
    await file('0002_second.sql', 'INSERT INTO steps VALUES (2)');
    expect(await run()).toEqual({ applied: ['0001_first.sql', '0002_second.sql'] });
    await file('0003_third.sql', 'INSERT INTO steps VALUES (3)');
    expect(await run()).toEqual({ applied: ['0003_third.sql'] });
    expect(await run()).toEqual({ applied: [] });
    expect(await column('SELECT name FROM steps')).toEqual(['1', '2', '3']);
  });

  test('by several migrators at once is done by one of them', async () => {
    await file('0001_first.sql', 'CREATE TABLE steps (name text); SELECT pg_sleep(0.3); INSERT INTO steps VALUES (1)');
    const results = await Promise.all([run(), run(), run()]);
    expect(results.flatMap((result) => result.applied)).toEqual(['0001_first.sql']);
    expect(await column('SELECT name FROM steps')).toEqual(['1']);
  });

  test('stops at an applied file that was edited, and changes nothing', async () => {
    await file('0001_first.sql', 'CREATE TABLE first ()');
    await run();
    await file('0001_first.sql', 'CREATE TABLE first (id integer)');
    await file('0002_second.sql', 'CREATE TABLE second ()');
    await expect(run()).rejects.toThrow(/0001_first\.sql was edited .* new migration/);
    expect(await column("SELECT to_regclass('public.second')")).toEqual([null]);
  });

  test('stops at an applied file that was renamed or removed', async () => {
    await file('0001_first.sql', 'CREATE TABLE first ()');
    await run();
    await rename(join(folder, '0001_first.sql'), join(folder, '0001_other.sql'));
    await expect(run()).rejects.toThrow(/0001_first\.sql was applied .* bring it back/);
    await rm(join(folder, '0001_other.sql'));
    await expect(run()).rejects.toThrow(/0001_first\.sql was applied .* bring it back/);
  });

  test.each([
    ['a gap', ['0001_a.sql', '0003_c.sql'], /number 0002 was expected, 0003_c\.sql found/],
    ['a double', ['0001_a.sql', '0001_b.sql'], /number 0002 was expected, 0001_b\.sql found/],
    ['a name of another form', ['0001_a.sql', '2_b.sql'], /2_b\.sql is not named like a migration/],
  ])('refuses %s before it touches the database', async (_what, names, message) => {
    for (const name of names) await file(name, 'CREATE TABLE t ()');
    await expect(run()).rejects.toThrow(message);
    expect(await column("SELECT to_regclass('public.schema_migrations')")).toEqual([null]);
  });

  test('keeps nothing of a file that fails, and tells the file and the line', async () => {
    await file('0001_first.sql', 'CREATE TABLE first ();\n\nSELECT nothing_of_this_name;');
    await expect(run()).rejects.toThrow(/0001_first\.sql line 3: .*nothing_of_this_name/);
    expect(await column("SELECT to_regclass('public.first')")).toEqual([null]);
    await file('0001_first.sql', 'CREATE TABLE first ()');
    expect(await run()).toEqual({ applied: ['0001_first.sql'] });
  });

  test('keeps nothing of a file whose record cannot be written', async () => {
    await file('0001_first.sql', "CREATE TABLE first (); INSERT INTO schema_migrations VALUES ('0001_first.sql', 'x')");
    await expect(run()).rejects.toThrow(/duplicate key/);
    expect(await column("SELECT to_regclass('public.first')")).toEqual([null]);
    expect(await column('SELECT name FROM schema_migrations')).toEqual([]);
  });

  test('refuses a file that ends the transaction which it shares with its record', async () => {
    await file('0001_first.sql', 'CREATE TABLE first ();\nCOMMIT;');
    await expect(run()).rejects.toThrow(/begins or ends a transaction/);
    await file('0001_first.sql', 'CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n  RETURN;\nEND\n$$;');
    expect(await run()).toEqual({ applied: ['0001_first.sql'] });
  });

  test('makes partitions of both logs for 24 months ahead, also when there is nothing to apply', async () => {
    const released = join(import.meta.dirname, '../../migrations');
    for (const name of await readdir(released)) {
      if (/^\d{4}_.*\.sql$/.test(name)) await copyFile(join(released, name), join(folder, name));
    }
    await run();
    const partitionsOf = (table: string) =>
      `SELECT count(*)::int FROM pg_inherits WHERE inhparent = '${table}'::regclass`;
    const partitions = partitionsOf('idempotent_write_audit_log');
    const [made] = await column(partitions);
    expect(await column(partitionsOf('security_log'))).toEqual([made]);
    expect(made).toBeGreaterThanOrEqual(24 + 2); // this month and the DEFAULT partition as well

    const [newest] = await column(
      `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'audit_partitions'
       AND tablename ~ '\\d{4}' ORDER BY tablename DESC LIMIT 1`,
    );
    await client.query(`DROP TABLE ${String(newest)}`);
    expect(await run()).toEqual({ applied: [] });
    expect(await column(partitions)).toEqual([made]);
  });
});

function run(): Promise<{ applied: string[] }> {
  return migrate({ connectionString: databaseUrl.href, folder });
}

function file(name: string, sql: string): Promise<void> {
  return writeFile(join(folder, name), sql);
}

async function column(sql: string): Promise<unknown[]> {
  const { rows } = await client.query<Record<string, unknown>>(sql);
  return rows.map((row) => Object.values(row)[0]);
}

async function asSuperuser(sql: string): Promise<void> {
  const superuser = new Client({ connectionString: inject('superuserUrl') });
  await superuser.connect();
  try {
    await superuser.query(sql);
  } finally {
    await superuser.end();
  }
}
