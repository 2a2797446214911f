import { z } from 'zod';
import { DAY_MS } from '../../activities/durations.ts';
import { date } from '../../activities/fields.ts';

/** The types of query parameters. Each parses a string, which is what every query parameter is. */

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;

/** The parameters of every list, besides its filters. */
export const pageQuery = {
  limit: z
    .string()
    .regex(/^\d{1,3}$/, `must be a number from 1 to ${MAX_LIMIT}`)
    .transform(Number)
    .pipe(z.int().min(1).max(MAX_LIMIT))
    .default(DEFAULT_LIMIT)
    .describe(`The maximum number of items per page, from 1 to ${MAX_LIMIT}; ${DEFAULT_LIMIT} if omitted.`),
  cursor: z
    .string()
    .min(1)
    .max(1_000)
    .optional()
    .describe('The `nextCursor` of the previous page. Send it with the same filters.'),
};

/** A range that includes both ends. */
export const dateRange = {
  from: date().optional().describe('The first day.'),
  to: date().optional().describe('The last day.'),
};

/** The name of an operation, of this release or of an earlier one. */
export const operationName = () => z.string().regex(/^[a-z][A-Za-z]{0,63}$/, 'must be the name of an operation');

/** The kind of an event, of this release or of an earlier one. */
export const eventKind = () => z.string().regex(/^[a-z_]{1,40}\.[a-z_]{1,23}$/, 'must be the kind of an event');

/** An RFC 3339 instant, or a day in UTC, of the years 1900 to 2999. */
export const instantOrDay = () =>
  z.union(
    [
      date(),
      z.iso
        .datetime({ offset: true })
        .regex(/^(19|2\d)\d\d-/)
        .meta({ format: 'date-time' }),
    ],
    'must be a date or an instant (RFC 3339)',
  );

/** The first instant of a range of {@link instantOrDay}. */
export function firstInstant(instantOrDate: string): string {
  return new Date(instantOrDate).toISOString();
}

/** The end of the range, exclusive: a date covers its whole day, an instant its millisecond. */
export function instantAfter(instantOrDate: string): string {
  const lengthMs = instantOrDate.includes('T') ? 1 : DAY_MS;
  return new Date(Date.parse(instantOrDate) + lengthMs).toISOString();
}
