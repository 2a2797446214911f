import type { WriteContext } from '../operation.ts';

/**
 * The date of a correction: the requested one, else today. Throws `date_before_original` if it is before the original's, and where
 * the request has no date, because the original is dated in the future, says that it needs one.
 */
export function correctionDate(
  {
    requested,
    today,
    originalDate,
  }: { readonly requested: string | undefined; readonly today: string; readonly originalDate: string },
  context: WriteContext<'date_before_original'>,
): string {
  const date = requested ?? today;
  // Dates of the form YYYY-MM-DD compare correctly as text.
  if (date < originalDate) {
    const detail =
      `The original is dated ${originalDate}, which is after ${date}.` + neededDate(requested, originalDate);
    throw context.reject('date_before_original', detail, '/date');
  }
  return date;
}

/** What to do where today, which the request has not named, is too early. */
export function neededDate(requested: string | undefined, first: string): string {
  return requested === undefined ? ` Without a date, it would be today's: give a date on or after ${first}.` : '';
}

/** The declaration of that rejection, shared by the operations that correct something. */
export const DATE_BEFORE_ORIGINAL = {
  status: 422,
  title: 'The date is before that of the original',
  nextAction: 'fix_request',
} as const;
