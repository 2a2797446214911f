/** Rows as JSON for a function of the database. A bigint becomes a string: a JSON number would pass through a float. */
export function toJson(rows: readonly object[]): string {
  return JSON.stringify(rows, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
}

/**
 * The client's notes with their keys in the order of `jsonb`, shorter ones first. So the answer that a write makes without
 * reading its row has the same bytes as a read of it.
 */
export function inStoredOrder(notes: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(notes).sort(([one], [other]) => compareKeys(one, other)));
}

function compareKeys(one: string, other: string): number {
  return Buffer.byteLength(one) - Buffer.byteLength(other) || Buffer.compare(Buffer.from(one), Buffer.from(other));
}
