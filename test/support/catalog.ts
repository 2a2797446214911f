import type pg from 'pg';

/**
 * What every table of a company must have, read from the catalog, so that a new table is held to it without a word here.
 * Each function answers one complaint a fault.
 */
type Queryable = Pick<pg.ClientBase, 'query'>;

/** Tables of companies: they have a `company_id`; and `companies`, which has it as `id`. Partitions count as their parent. */
export function companyTables(client: Queryable): Promise<string[]> {
  return column(
    client,
    `SELECT c.relname FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND (c.relname = 'companies' OR EXISTS (
         SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'company_id' AND NOT a.attisdropped))
     ORDER BY 1`,
  );
}

/** Tables that no company owns, by name: each needs a reason (see the test). */
export function sharedTables(client: Queryable): Promise<string[]> {
  return column(
    client,
    `SELECT c.relname FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
       AND c.relname <> 'companies' AND NOT EXISTS (
         SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'company_id' AND NOT a.attisdropped)
     ORDER BY 1`,
  );
}

export async function tablesWithoutForcedRowSecurity(client: Queryable): Promise<string[]> {
  return column(
    client,
    `SELECT c.relname || ': row-level security is not enabled and forced' FROM pg_class c
     WHERE c.relname = ANY ($1) AND c.relnamespace = 'public'::regnamespace
       AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
     UNION ALL
     SELECT c.relname || ': company_id may be NULL' FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relname = ANY ($1) AND a.attname = 'company_id' AND NOT a.attnotnull`,
    [await companyTables(client)],
  );
}

/** Policies are alternatives: one that lets the application see more is not narrowed by the others. */
export async function looserPolicies(client: Queryable): Promise<string[]> {
  return column(
    client,
    `WITH policies AS (
       SELECT c.relname, p.polname, pg_get_expr(p.polqual, p.polrelid) AS reads, pg_get_expr(p.polwithcheck, p.polrelid) AS writes,
         format('(%s = current_company())', CASE c.relname WHEN 'companies' THEN 'id' ELSE 'company_id' END) AS own
       FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid
         AND (0 = ANY (p.polroles) OR 'accubooks_app'::regrole = ANY (p.polroles))
       WHERE c.relname = ANY ($1) AND c.relnamespace = 'public'::regnamespace
     )
     SELECT relname || CASE WHEN polname IS NULL THEN ': the application has no policy'
       ELSE ': ' || polname || ' does not ask for the company alone' END
     FROM policies WHERE polname IS NULL OR reads IS DISTINCT FROM own OR coalesce(writes, own) <> own
     ORDER BY relname`,
    [await companyTables(client)],
  );
}

/** A key that leaves the company out lets a row point at another company's: the check of a key sees all rows. */
export function foreignKeysWithoutCompany(client: Queryable): Promise<string[]> {
  return column(
    client,
    `SELECT f.conrelid::regclass || ': ' || f.conname || ' does not carry company_id'
     FROM pg_constraint f
     JOIN pg_attribute mine ON mine.attrelid = f.conrelid AND mine.attname = 'company_id'
     JOIN pg_attribute theirs ON theirs.attrelid = f.confrelid
       AND theirs.attname = CASE f.confrelid WHEN 'companies'::regclass THEN 'id' ELSE 'company_id' END
     WHERE f.contype = 'f' AND NOT EXISTS (
       SELECT FROM unnest(f.conkey, f.confkey) AS pair (mine, theirs)
       WHERE pair.mine = mine.attnum AND pair.theirs = theirs.attnum)`,
  );
}

/** An amount or a quantity without a CHECK of its own column; generated ones follow from others. */
export function amountsWithoutCheck(client: Queryable): Promise<string[]> {
  return column(
    client,
    `SELECT c.relname || '.' || a.attname || ': no CHECK says which amounts are possible'
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND (a.attname ~ '_minor$' OR a.atttypid = 'numeric'::regtype) AND a.attgenerated = ''
       AND NOT EXISTS (
         SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' AND a.attnum = ANY (k.conkey))`,
  );
}

/** More than the longest text that any column may take, and one byte more than the largest document. */
const TOO_MANY_CHARACTERS = 3_000;
const TOO_MANY_BYTES = 16_777_217;

/** The faults of five hundred rows, each with as many pointers as an answer may have. */
const LARGER: Readonly<Record<string, number>> = {
  'audit_archives.sealed': 67_108_865,
  'batch_chunks.problems': 67_108_865,
};

/**
 * Columns that take text or documents of any size. Each CHECK of one column alone is asked about a value that is too
 * large; one of them has to say no. Generated columns follow from others.
 */
export async function columnsWithoutSizeLimit(client: Queryable): Promise<string[]> {
  const { rows } = await client.query<{ name: string; column: string; type: string; checks: string[] }>(
    `SELECT c.relname || '.' || a.attname AS name, quote_ident(a.attname) AS column, a.atttypid::regtype::text AS type,
       ARRAY(SELECT pg_get_expr(k.conbin, k.conrelid) FROM pg_constraint k
             WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]) AS checks
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND c.relname <> 'schema_migrations' AND a.attgenerated = ''
       AND a.atttypid = ANY (ARRAY['text', 'varchar', 'bpchar', 'bytea', 'json', 'jsonb', 'text[]']::regtype[])
     ORDER BY 1`,
  );
  const complaints: string[] = [];
  for (const { name, column: columnName, type, checks } of rows) {
    const refused = checks.length > 0 && (await column(client, refusal(columnName, type, checks, LARGER[name])))[0];
    if (!refused) complaints.push(`${name}: no CHECK limits its size`);
  }
  return complaints;
}

function refusal(columnName: string, type: string, checks: readonly string[], bytes = TOO_MANY_BYTES): string {
  const tooLarge: Record<string, string> = {
    bytea: `convert_to(repeat('x', ${bytes}), 'UTF8')`,
    json: `json_build_object('x', repeat('x', ${bytes}))`,
    jsonb: `jsonb_build_object('x', repeat('x', ${bytes}))`,
    'text[]': `array_fill('owner'::text, ARRAY[${TOO_MANY_CHARACTERS}])`,
  };
  const value = tooLarge[type] ?? `repeat('x', ${TOO_MANY_CHARACTERS})::${type}`;
  return `SELECT NOT (${checks.map((check) => `coalesce(${check}, true)`).join(' AND ')})
    FROM (SELECT ${value} AS ${columnName}) AS large`;
}

/** What a role may do with tables and their columns, anywhere: `SELECT public.outbox`, `UPDATE public.outbox (started_at)`. */
export function privilegesOf(client: Queryable, role: string): Promise<string[]> {
  return column(
    client,
    `SELECT p.privilege || ' ' || n.nspname || '.' || c.relname AS held
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
       unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p (privilege)
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
       AND has_table_privilege($1, c.oid, p.privilege)
     UNION ALL
     SELECT p.privilege || ' ' || n.nspname || '.' || c.relname || ' (' || a.attname || ')'
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid,
       unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p (privilege)
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
       AND a.attnum > 0 AND NOT a.attisdropped
       AND has_column_privilege($1, c.oid, a.attnum, p.privilege) AND NOT has_table_privilege($1, c.oid, p.privilege)
     ORDER BY 1`,
    [role],
  );
}

/** The first column of each row. */
async function column<T = string>(client: Queryable, sql: string, values: readonly unknown[] = []): Promise<T[]> {
  const { rows } = await client.query<T[]>({ text: sql, values: [...values], rowMode: 'array' });
  return rows.map(([first]) => first as T);
}
