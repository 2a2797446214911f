/** Thrown for a row that cannot be read; other rows are not affected. */
export class MalformedRow extends Error {}

/** Thrown where the whole file cannot be read: all rows would be wrong. The message says what to do. */
export class UnreadableFile extends Error {}

/** The column, or the member, with the key of a row, where the sender names no other. */
export const KEY_NAMES: readonly string[] = ['key', 'idempotencyKey'];

/** A longer line of JSON or record of CSV is one malformed row. The API accepts bodies of 1 MiB; white space and the key add to it. */
export const MAX_ROW_BYTES = 2 * 1024 * 1024;

/** A part of the file as a message shows it: in JSON, cut where it is long, and no deeper than its first level. */
export function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? '[…]' : '{…}';
  if (typeof value !== 'string') return String(value);
  return value.length > MAX_SHOWN ? `${JSON.stringify(value.slice(0, MAX_SHOWN))}…` : JSON.stringify(value);
}

/** Names and messages that repeat parts of the file: without control characters, which a terminal would obey, and not endless. */
export function printable(text: string, maxLength = MAX_SHOWN): string {
  const plain = text.slice(0, maxLength).replace(/\p{Cc}/gu, '\uFFFD');
  return text.length > maxLength ? `${plain}…` : plain;
}

const MAX_SHOWN = 100;
