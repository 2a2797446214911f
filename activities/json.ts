/** Rows as JSON for a function of the database. A bigint becomes a string: a JSON number would pass through a float. */
export function toJson(rows: readonly object[]): string {
  return JSON.stringify(rows, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
}

/**
 * The same object with its members in the order in which a `jsonb` of PostgreSQL has them: the shorter names first, those
 * of one length by their bytes. So an answer that is not read back from its row has the row's order.
 */
export function inOrderOfJsonb<T>(value: Readonly<Record<string, T>>): Record<string, T> {
  const members = Object.entries(value).map(([name, member]) => ({ bytes: Buffer.from(name), name, member }));
  members.sort((a, b) => a.bytes.length - b.bytes.length || Buffer.compare(a.bytes, b.bytes));
  return Object.fromEntries(members.map(({ name, member }) => [name, member]));
}
