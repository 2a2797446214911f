import type { Tx } from '../../activities/database.ts';
import type { Cursors, ListIdentity } from './cursor.ts';
import type { PlaceType } from './place-types.ts';

/** The constant SQL of one list. Every table that it names has a company column and a policy on it. */
export type List = {
  readonly columns: string;
  /** From `FROM` up to, and not including, `WHERE`. */
  readonly from: string;
  /** The condition that applies whatever the filters are. */
  readonly where: string;
  /** The sort key, which is unique as a whole. Descending unless a part says otherwise. */
  readonly order: readonly OrderKey[];
};

type OrderKey = {
  readonly sql: string;
  readonly type: PlaceType;
  readonly ascending?: true;
};

/** SQL with a `?` for each value, in order. A filter with the value `undefined` is left out. */
export type Filter = readonly [sql: string, ...values: unknown[]];

export type PageRequest = ListIdentity & {
  readonly cursors: Cursors;
  readonly limit: number;
  readonly cursor: string | undefined;
};

/**
 * Reads one page by keyset, not by offset. Rows that are added meanwhile sort before the first page or after the last one
 * read, so no item is skipped and none is returned twice.
 */
export async function readPage<Row>(
  tx: Tx,
  list: List,
  filters: readonly Filter[],
  request: PageRequest,
): Promise<{ readonly rows: readonly Row[]; readonly nextCursor: string | null }> {
  const { cursor, cursors } = request;
  const types = list.order.map(({ type }) => type);
  const after = cursor === undefined ? undefined : cursors.decode(cursor, request, types);
  const values: unknown[] = [...(after ?? [])];
  const conditions = [list.where, ...(after === undefined ? [] : [behind(list.order)])];
  for (const [sql, ...given] of filters.filter((filter) => !filter.includes(undefined))) {
    conditions.push(given.reduce<string>((text, value) => text.replace('?', `$${values.push(value)}`), sql));
  }
  values.push(request.limit + 1);
  // Each set of filters has its own SQL text: few enough to be prepared statements.
  const rows = await tx.query<Row & { place: string[] }>(
    `SELECT ${list.columns}, ARRAY[${list.order.map(asText).join(', ')}] AS place
     ${list.from}
     WHERE ${conditions.join('\n  AND ')}
     ORDER BY ${list.order.map(({ sql, ascending }) => `${sql}${ascending ? '' : ' DESC'}`).join(', ')}
     LIMIT $${values.length}`,
    values,
  );
  const page = rows.slice(0, request.limit);
  const last = page.at(-1);
  const nextCursor = rows.length > page.length && last !== undefined ? cursors.encode(last.place, request) : null;
  return { rows: page, nextCursor };
}

/** The rows after the position ($1, $2, …). The second condition implies the first, which lets PostgreSQL use an index. */
function behind(order: readonly OrderKey[]): string {
  const [first] = order;
  if (first === undefined) throw new Error('Bug! A list without an order');
  // A comparison of rows begins at the place in the index, however many rows have its first key, such as one day.
  if (order.every(({ ascending }) => ascending === first.ascending)) {
    const values = order.map(({ type }, index) => `$${index + 1}::${type}`);
    return `(${order.map(({ sql }) => sql).join(', ')}) ${first.ascending ? '>' : '<'} (${values.join(', ')})`;
  }
  const atOrBehind = `${first.sql} ${first.ascending ? '>=' : '<='} $1::${first.type}`;
  return `${atOrBehind} AND ${strictlyBehind(order, 1)}`;
}

function strictlyBehind([key, ...rest]: readonly OrderKey[], parameter: number): string {
  if (key === undefined) return 'false';
  const value = `$${parameter}::${key.type}`;
  const here = `${key.sql} ${key.ascending ? '>' : '<'} ${value}`;
  return rest.length === 0 ? here : `(${here} OR (${key.sql} = ${value} AND ${strictlyBehind(rest, parameter + 1)}))`;
}

/** Exact to the microsecond, unlike a Date, and the same in every session time zone. */
function asText({ sql, type }: OrderKey): string {
  return type === 'timestamptz'
    ? `to_char(${sql} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
    : `${sql}::text`;
}
