import type pg from 'pg';

/** A separate schema for copies of the tables under their original names. */
const BASELINE_SCHEMA = 'baseline';

/** The tables that a payment reads and writes. */
const TABLES = [
  'companies',
  'accounts',
  'invoices',
  'journal_entries',
  'journal_lines',
  'number_counters',
  'payments',
] as const;
/** The tables that are copied with their rows; the others start empty. */
const FILLED = ['companies', 'accounts', 'invoices'] as const;

/**
 * Creates the business tables with their indexes and CHECKs only: no triggers, foreign keys, row-level security, nor key,
 * audit or event rows. So the baseline is cheaper than a system with the same guarantees, which makes the comparison harder
 * for us.
 */
export async function createBaselineSchema(owner: pg.Client, companyId: string): Promise<void> {
  await owner.query(`DROP SCHEMA IF EXISTS ${BASELINE_SCHEMA} CASCADE; CREATE SCHEMA ${BASELINE_SCHEMA}`);
  for (const table of TABLES) {
    await owner.query(`CREATE TABLE ${BASELINE_SCHEMA}.${table} (LIKE public.${table} INCLUDING ALL)`);
  }
  // In the original a trigger sets this column.
  await owner.query(
    `ALTER TABLE ${BASELINE_SCHEMA}.journal_entries ALTER created_xid SET DEFAULT pg_current_xact_id()`,
  );
  for (const table of FILLED) {
    const columns = await writableColumns(owner, table);
    const own = table === 'companies' ? 'id' : 'company_id';
    await owner.query(
      `INSERT INTO ${BASELINE_SCHEMA}.${table} (${columns}) SELECT ${columns} FROM public.${table} WHERE ${own} = $1`,
      [companyId],
    );
  }
  await owner.query('ANALYZE');
}

/** The URL of the same database with the copies first in the search path. */
export function baselineUrl(databaseUrl: string): string {
  const url = new URL(databaseUrl);
  url.searchParams.set('options', `-c search_path=${BASELINE_SCHEMA},public`);
  return url.href;
}

async function writableColumns(owner: pg.Client, table: string): Promise<string> {
  const { rows } = await owner.query<{ columns: string }>(
    `SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position) AS columns
     FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER'`,
    [table],
  );
  return rows[0]?.columns ?? '';
}
