import type { Tx } from '../../activities/database.ts';
import { HASH_JOINS } from '../../activities/hash-joins.ts';

/**
 * The last day that a report includes: the requested one, else today in the company's time zone. The report's own statements
 * come after it, and read all books of the company: they are planned without nested loops.
 */
export async function dayOfReport(tx: Tx, requested: string | undefined): Promise<string> {
  const [day] = await tx.query<{ as_of: string }>(
    `SELECT coalesce($1::date, company_today(current_company())) AS as_of, ${HASH_JOINS}`,
    [requested ?? null],
  );
  if (day === undefined) throw new Error('Bug! The statement returned no row');
  return day.as_of;
}
