import type { WriteContext } from '../operation.ts';

/** The day on which something is taken back: the one asked for, else today; never before the day of what it takes back. */
export function correctionDate(
  {
    asked,
    today,
    originalDate,
  }: { readonly asked: string | undefined; readonly today: string; readonly originalDate: string },
  context: WriteContext<'date_before_original'>,
): string {
  const date = asked ?? today;
  // Dates of the form YYYY-MM-DD are ordered as text is.
  if (date < originalDate) {
    throw context.reject(
      'date_before_original',
      `What is taken back is of ${originalDate}, later than ${date}.`,
      '/date',
    );
  }
  return date;
}

/** How the operations that take something back declare that rule. */
export const DATE_BEFORE_ORIGINAL = {
  status: 422,
  title: 'Dated before what it takes back',
  nextAction: 'fix_request',
} as const;
