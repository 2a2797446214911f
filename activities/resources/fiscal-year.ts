import { z } from 'zod';
import type { Tx } from '../database.ts';
import { toWireSum } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { calendarDate, currencyCode, moneySum, resourceId } from './members.ts';

/** The API's form of a fiscal year and its columns; its rows come from the function `fiscal_years`. */
export const FISCAL_YEAR_COLUMNS = `f.year, f.starts_on, f.ends_on, f.closing_id IS NOT NULL AS is_closed,
  (SELECT e.id FROM journal_entries e WHERE e.company_id = current_company() AND e.write_id = f.closing_id) AS closing_entry_id`;

export type FiscalYearRow = {
  year: number;
  starts_on: string;
  ends_on: string;
  is_closed: boolean;
  /** Null while it is open, and where there was nothing to move. */
  closing_entry_id: string | null;
};

export async function readFiscalYear(tx: Tx, year: number): Promise<FiscalYear | undefined> {
  const rows = await tx.query<FiscalYearRow>(
    `SELECT ${FISCAL_YEAR_COLUMNS} FROM fiscal_years(current_company()) AS f WHERE f.year = $1`,
    [year],
  );
  return (await withResults(tx, rows))[0];
}

export type FiscalYear = z.output<typeof fiscalYearSchema>;

/** Successive years in either order, each with its result: income less expenses of the entries dated in it, but for closing entries. */
export async function withResults(tx: Tx, years: readonly FiscalYearRow[]): Promise<FiscalYear[]> {
  if (years.length === 0) return [];
  const results = await tx.query<{ starts_on: string; currency: string; result_minor: string }>(
    `SELECT ($1::date[])[width_bucket(e.entry_date, $1::date[])] AS starts_on, l.currency, -sum(l.amount_minor) AS result_minor
     FROM journal_entries e
     JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id
     JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
     WHERE e.company_id = current_company() AND e.entry_date BETWEEN ($1::date[])[1] AND $2
       AND entry_kind(e.operation) = 'normal' AND a.type IN ('income', 'expense')
     GROUP BY 1, l.currency
     ORDER BY l.currency`,
    [
      years.map((year) => year.starts_on).toSorted(),
      years
        .map((year) => year.ends_on)
        .toSorted()
        .at(-1),
    ],
  );
  return years.map((year) => ({
    year: year.year,
    from: year.starts_on,
    to: year.ends_on,
    state: year.is_closed ? 'closed' : 'open',
    closingEntryId: year.closing_entry_id,
    result: results
      .filter((row) => row.starts_on === year.starts_on)
      .map((row) => ({ currency: row.currency, amount: toWireSum(BigInt(row.result_minor)) })),
  }));
}

const fiscalYearSchema = z.object({
  year: z.int().meta({ description: 'The one in which it ends' }),
  from: calendarDate(),
  to: calendarDate(),
  state: z.enum(['open', 'closed']),
  closingEntryId: resourceId()
    .nullable()
    .meta({ description: 'Null while the year is open, and where there was nothing to move' }),
  result: z.array(
    z.object({ currency: currencyCode(), amount: moneySum('income less expenses: negative for a loss') }),
  ),
});

export const fiscalYearResource: ResourceType = {
  type: 'fiscalYear',
  reads: '/api/ledger/fiscal-years',
  schema: fiscalYearSchema,
};
