import type { Tx } from '../../activities/database.ts';
import { date } from '../../activities/fields.ts';
import { ApiProblem } from '../http/problems.ts';
import { dayOfReport } from './day-of-report.ts';

/** The days of a report, with both ends. */
export const reportPeriod = {
  from: date().optional().describe('The first day to include; without it, everything up to the last one.'),
  to: date().optional().describe('The last day to include; today if omitted.'),
};

export type Period = {
  /** Null: since the first entry. */
  readonly from: string | null;
  readonly to: string;
};

/**
 * The requested days, up to today in the company’s time zone if the request does not say. Plans what follows as
 * {@link dayOfReport} does. Throws `validation_failed` for a period that ends before it begins.
 */
export async function periodOfReport(
  tx: Tx,
  requested: { readonly from?: string | undefined; readonly to?: string | undefined },
): Promise<Period> {
  const to = await dayOfReport(tx, requested.to);
  const { from = null } = requested;
  // Dates of the form YYYY-MM-DD compare correctly as text.
  if (from !== null && from > to) {
    const message = `must not be after ${to}, the last day`;
    throw new ApiProblem('validation_failed', {
      detail: `The query parameter from ${message}.`,
      errors: [{ in: 'query', pointer: '/from', message }],
    });
  }
  return { from, to };
}
