/** Rows as JSON for a function of the database. A bigint becomes a string: a JSON number would pass through a float. */
export function toJson(rows: readonly object[]): string {
  return JSON.stringify(rows, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
}

/** Notes with their keys in the order of a jsonb column: shorter ones first, then by their bytes. */
export function asStored(notes: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(notes).map(([key, note]) => ({ bytes: Buffer.from(key), key, note }));
  entries.sort((a, b) => a.bytes.length - b.bytes.length || Buffer.compare(a.bytes, b.bytes));
  return Object.fromEntries(entries.map(({ key, note }) => [key, note]));
}
