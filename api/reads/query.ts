import { z } from 'zod';
import { date } from '../../activities/fields.ts';

/** The vocabulary of query strings. Every value is a string there; these say which, and what it stands for. */

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;

/** What each list takes beside its filters. */
export const pageQuery = {
  limit: z
    .string()
    .regex(/^\d{1,3}$/, `must be a number from 1 to ${MAX_LIMIT}`)
    .transform(Number)
    .pipe(z.int().min(1).max(MAX_LIMIT))
    .default(DEFAULT_LIMIT)
    .describe(`How many items a page has at most, 1 to ${MAX_LIMIT}; ${DEFAULT_LIMIT} when left out.`),
  cursor: z
    .string()
    .min(1)
    .max(1_000)
    .optional()
    .describe('The `nextCursor` of the page before, sent with the same filters.'),
};

/** Both ends belong to the range. */
export const dateRange = {
  from: date().optional().describe('The first day.'),
  to: date().optional().describe('The last day.'),
};

/** The name of an operation, of this release or of an earlier one. */
export const operationName = () => z.string().regex(/^[a-z][A-Za-z]{0,63}$/, 'must be the name of an operation');

/** The kind of an event, of this release or of an earlier one. */
export const eventKind = () => z.string().regex(/^[a-z_]{1,40}\.[a-z_]{1,23}$/, 'must be the kind of an event');

/** An instant in RFC 3339, or a day in UTC; of the years 1900 to 2999. */
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
