import type { Tx } from '../../activities/database.ts';

/** The last day that a report includes: the requested one, else today in the company's time zone. */
export async function dayOfReport(tx: Tx, requested: string | undefined): Promise<string> {
  const [day] = await tx.query<{ as_of: string }>(
    'SELECT coalesce($1::date, company_today(current_company())) AS as_of',
    [requested ?? null],
  );
  if (day === undefined) throw new Error('Bug! The statement returned no row');
  return day.as_of;
}
