/** Rows as JSON for a function of the database. A bigint becomes a string: a JSON number would pass through a float. */
export function toJson(rows: readonly object[]): string {
  return JSON.stringify(rows, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
}
