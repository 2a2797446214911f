import { isUuid } from '../../activities/identity.ts';

/** The types of the parts of a position in a list, as PostgreSQL's. */
export type PlaceType = 'timestamptz' | 'date' | 'uuid' | 'integer' | 'bigint' | 'text';

const MAX_INTEGER = 2n ** 31n - 1n;
const MAX_BIGINT = 2n ** 63n - 1n;

/**
 * Whether PostgreSQL can read the text as this type, in the one form in which a list writes it. What it cannot read would end
 * the statement with an error, and the request with a 500.
 */
export function isOfType(type: PlaceType, text: string): boolean {
  switch (type) {
    case 'timestamptz':
      return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(text) && isInstant(`${text.slice(0, MILLISECONDS_END)}Z`);
    case 'date':
      return /^\d{4}-\d\d-\d\d$/.test(text) && isInstant(`${text}T00:00:00.000Z`);
    case 'uuid':
      return isUuid(text);
    case 'integer':
      return isWhole(text, MAX_INTEGER);
    case 'bigint':
      return isWhole(text, MAX_BIGINT);
    case 'text':
      return !text.includes('\0') && Buffer.from(text).toString() === text;
  }
}

/** Where the milliseconds of `2026-01-31T12:00:00.123456Z` end. */
const MILLISECONDS_END = 23;

/** False for the 30th of February, which JavaScript takes for the 2nd of March, and for the year 0, which PostgreSQL lacks. */
function isInstant(iso: string): boolean {
  const time = Date.parse(iso);
  return !iso.startsWith('0000') && !Number.isNaN(time) && new Date(time).toISOString() === iso;
}

function isWhole(text: string, max: bigint): boolean {
  if (!/^(0|-?[1-9]\d{0,18})$/.test(text)) return false;
  const value = BigInt(text);
  return value <= max && value >= -max;
}
