import type { Tx } from '../database.ts';
import type { WriteContext } from '../operation.ts';

/** A fiscal year of a company whose row this transaction holds. */
export type LockedYear = {
  readonly year: number;
  readonly starts_on: string;
  readonly ends_on: string;
  /** Of the write that has closed it; null while it is open. */
  readonly closing_id: string | null;
};

export type LockedYears = {
  readonly years: readonly LockedYear[];
  readonly closedThrough: string | null;
  readonly today: string;
};

/**
 * Locks the company's row, then reads its fiscal years in their order. Whoever posts holds that row until the COMMIT, and so does
 * whoever changes the settings: nothing of either comes between.
 */
export async function lockFiscalYears(tx: Tx, { companyId, userId }: WriteContext): Promise<LockedYears> {
  const [company] = await tx.query<{ closed_through: string | null; today: string }>(
    `SELECT (l.company).books_closed_through AS closed_through, company_today($1) AS today
     FROM lock_company_row($1, $2) AS l`,
    [companyId, userId],
  );
  if (company === undefined) throw new Error('Bug! The company has no row');
  const years = await tx.query<LockedYear>(
    'SELECT year, starts_on, ends_on, closing_id FROM fiscal_years($1) ORDER BY year',
    [companyId],
  );
  return { years, closedThrough: company.closed_through, today: company.today };
}

export const latestClosed = ({ years }: LockedYears): LockedYear | undefined =>
  years.findLast((one) => one.closing_id !== null);

/** Closes the books through that day and no further; null opens all of them. A version of the settings is kept by trigger. */
export function closeBooksThrough(tx: Tx, companyId: string, day: string | null): Promise<unknown> {
  return tx.query('UPDATE companies SET books_closed_through = $2 WHERE id = $1', [companyId, day]);
}

/** The declaration of a rejection that both operations share. The same request succeeds once the other years are closed or reopened. */
export const FISCAL_YEAR_OUT_OF_ORDER = {
  status: 409,
  title: 'Fiscal years are closed in their order, and only the latest closed one is reopened',
  about: { in: 'path', pointer: '/year' },
} as const;
