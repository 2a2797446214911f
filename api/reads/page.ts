import type { Tx } from '../../activities/database.ts';
import { decodeCursor, encodeCursor, type ListIdentity } from './cursor.ts';

/** One list, in constant SQL. Every table that it names has the company in its rows and in its policies. */
export type List = {
  readonly columns: string;
  /** From FROM up to and without WHERE. */
  readonly from: string;
  /** Holds whatever the filters are. */
  readonly where: string;
  /** What orders the list, and is unique as a whole. Newest first unless it says otherwise. */
  readonly order: readonly OrderKey[];
};

type OrderKey = {
  readonly sql: string;
  readonly type: 'timestamptz' | 'date' | 'uuid' | 'integer' | 'bigint' | 'text';
  readonly ascending?: true;
};

/** SQL with a `?` for each value, in turn; a filter that was not given has `undefined` and is left out. */
export type Filter = readonly [sql: string, ...values: unknown[]];

export type PageRequest = ListIdentity & { readonly limit: number; readonly cursor: string | undefined };

/**
 * Reads one page by its place and not by its number (a keyset): what is added meanwhile stands before the first page or
 * behind the last one read, so nothing is left out and nothing comes twice.
 */
export async function readPage<Row>(
  tx: Tx,
  list: List,
  filters: readonly Filter[],
  request: PageRequest,
): Promise<{ readonly rows: readonly Row[]; readonly nextCursor: string | null }> {
  const after = request.cursor === undefined ? undefined : decodeCursor(request.cursor, request);
  const values: unknown[] = [...(after ?? [])];
  const conditions = [list.where, ...(after === undefined ? [] : [behind(list.order)])];
  for (const [sql, ...given] of filters.filter((filter) => !filter.includes(undefined))) {
    conditions.push(given.reduce<string>((text, value) => text.replace('?', `$${values.push(value)}`), sql));
  }
  values.push(request.limit + 1);
  // Of each list there are as many texts as there are sets of filters: few enough to be prepared statements.
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
  const nextCursor = rows.length > page.length && last !== undefined ? encodeCursor(last.place, request) : null;
  return { rows: page, nextCursor };
}

/** The rows behind a place whose parts are $1, $2, … The first condition is implied by the second: an index can use it. */
function behind(order: readonly OrderKey[]): string {
  const [first] = order;
  if (first === undefined) throw new Error('Bug! A list without an order');
  const atOrBehind = `${first.sql} ${first.ascending ? '>=' : '<='} $1::${first.type}`;
  return `${atOrBehind} AND ${strictlyBehind(order, 1)}`;
}

function strictlyBehind([key, ...rest]: readonly OrderKey[], parameter: number): string {
  if (key === undefined) return 'false';
  const value = `$${parameter}::${key.type}`;
  const here = `${key.sql} ${key.ascending ? '>' : '<'} ${value}`;
  return rest.length === 0 ? here : `(${here} OR (${key.sql} = ${value} AND ${strictlyBehind(rest, parameter + 1)}))`;
}

/** Exact to the microsecond, which a Date would not be, and the same in every session's time zone. */
function asText({ sql, type }: OrderKey): string {
  return type === 'timestamptz'
    ? `to_char(${sql} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
    : `${sql}::text`;
}
