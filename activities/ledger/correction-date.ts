import type { WriteContext } from '../operation.ts';

/** The date of a correction: the requested one, else today. Throws `date_before_original` if it is before the original's. */
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
    throw context.reject(
      'date_before_original',
      `The original is dated ${originalDate}, which is after ${date}.`,
      '/date',
    );
  }
  return date;
}

/** The declaration of that rejection, shared by the operations that correct something. */
export const DATE_BEFORE_ORIGINAL = {
  status: 422,
  title: 'The date is before that of the original',
  nextAction: 'fix_request',
} as const;
