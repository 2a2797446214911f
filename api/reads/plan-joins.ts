import type { Tx } from '../../activities/database.ts';
import { HASH_JOINS } from '../../activities/hash-joins.ts';

/** To read so many rows of each table once takes a few milliseconds. */
const FEW_ROWS = 1_000;

type Table = 'idempotent_writes' | 'invoices' | 'journal_entries' | 'journal_lines' | 'payments';

/**
 * For a page that looks rows up in other tables of the company: has the statement after this one planned without nested loops
 * where the planner believes that the company has few rows in one of them. If that is true, they are read quickly. If it is
 * false, because the statistics do not know the company yet, they are read once a page, and not once for each row of the list
 * (see {@link HASH_JOINS}). Where there are many, rows are looked up by their keys.
 */
export async function planJoins(tx: Tx, tables: readonly Table[]): Promise<void> {
  const beliefs = await Promise.all(tables.map((table) => believedRows(tx, table)));
  if (Math.min(...beliefs) < FEW_ROWS) await tx.query(`SELECT ${HASH_JOINS}`);
}

async function believedRows(tx: Tx, table: Table): Promise<number> {
  const [row] = await tx.query<{ 'QUERY PLAN': readonly [{ readonly Plan: { readonly 'Plan Rows': number } }] }>(
    `EXPLAIN (FORMAT JSON) SELECT FROM ${table} WHERE company_id = current_company()`,
  );
  if (row === undefined) throw new Error('Bug! EXPLAIN returned no plan');
  return row['QUERY PLAN'][0].Plan['Plan Rows'];
}
