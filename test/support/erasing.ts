import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { onTestFinished } from 'vitest';
import type { System } from './system.ts';

/** The table and column of each value in the database, as the owner sees all of it, that has the text in it. */
export async function whereIs(owner: pg.Pool, text: string): Promise<string[]> {
  const { rows: columns } = await owner.query<{ table: string; column: string; type: string }>(
    `SELECT a.attrelid::regclass::text AS table, quote_ident(a.attname) AS column, format_type(a.atttypid, NULL) AS type
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND a.attnum > 0
       AND NOT a.attisdropped AND format_type(a.atttypid, NULL) IN ('text', 'text[]', 'jsonb', 'json', 'bytea')`,
  );
  const found: string[] = [];
  for (const { table, column, type } of columns) {
    const value = type === 'bytea' ? `encode(${column}, 'escape')` : `${column}::text`;
    const { rowCount } = await owner.query(
      `SELECT FROM ${table} WHERE position(lower($1) IN lower(${value})) > 0 LIMIT 1`,
      [text],
    );
    if (rowCount !== 0) found.push(`${table}.${column}`);
  }
  return found;
}

/** Whom to erase, and why. */
export type Erasing = {
  readonly kind: 'customer' | 'employee' | 'user';
  readonly person: string;
  readonly companies: readonly string[];
  readonly texts?: readonly string[];
  readonly reason?: string;
  readonly operator?: string;
};

/** Calls one of the functions of an erasure that take a person. */
export async function callErasure(
  database: Pick<pg.ClientBase, 'query'>,
  name: 'ask_erasure' | 'erase_alone' | 'preview_erasure',
  { kind, person, companies, texts = [], reason = 'Asked for', operator = 'first' }: Erasing,
) {
  const values = [kind, companies, person, texts, reason, operator];
  const { rows } = await database.query(`SELECT ${name}($1, $2, $3, $4, $5, $6) AS result`, values);
  return rows[0]?.result;
}

/** Another login of whoever erases, gone after the test. */
export async function anotherEraser({ owner, environment }: System): Promise<string> {
  const name = `eraser_${randomBytes(6).toString('hex')}`;
  await owner.query(
    `CREATE ROLE ${name} LOGIN NOINHERIT PASSWORD 'another'; GRANT accubooks_eraser TO ${name}; ALTER ROLE ${name} SET role = accubooks_eraser`,
  );
  onTestFinished(async () => void (await owner.query(`DROP ROLE ${name}`)));
  const url = new URL(environment['ERASER_DATABASE_URL'] as string);
  Object.assign(url, { username: name, password: 'another' });
  return url.href;
}
