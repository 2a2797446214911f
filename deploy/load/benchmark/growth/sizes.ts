import type pg from 'pg';

/** The bytes of each table and index, those of partitions added up. */
export type Sizes = ReadonlyMap<string, { readonly isIndex: boolean; readonly table: string; readonly bytes: number }>;

/** Bytes that a key takes in a table or an index; megabytes for a million keys. */
export type BytesPerKey = {
  readonly name: string;
  readonly table: string;
  readonly isIndex: boolean;
  readonly bytes: number;
};

/** What is less is not worth a line. */
const LEAST_BYTES = 0.5;

export async function readSizes(owner: pg.ClientBase): Promise<Sizes> {
  const { rows } = await owner.query<{ name: string; isIndex: boolean; table: string; bytes: number }>(SIZES);
  return new Map(rows.map((row) => [row.name, row]));
}

/** A table's includes what it has stored out of line (TOAST) and its maps. The largest tables first, each with its indexes. */
export function growthPerKey(before: Sizes, after: Sizes, keys: number): BytesPerKey[] {
  const grown = [...after].map(([name, { bytes, ...rest }]) => ({
    ...rest,
    name,
    bytes: (bytes - (before.get(name)?.bytes ?? 0)) / keys,
  }));
  const ofTable = (table: string) =>
    grown.filter((one) => one.table === table).reduce((sum, { bytes }) => sum + bytes, 0);
  return grown
    .filter(({ bytes }) => bytes >= LEAST_BYTES)
    .toSorted(
      (a, b) =>
        ofTable(b.table) - ofTable(a.table) ||
        a.table.localeCompare(b.table) ||
        Number(a.isIndex) - Number(b.isIndex) ||
        b.bytes - a.bytes,
    );
}

const SIZES = `
  SELECT coalesce(pg_partition_root(c.oid), c.oid)::regclass::text AS name, i.indexrelid IS NOT NULL AS "isIndex",
    coalesce(pg_partition_root(coalesce(i.indrelid, c.oid)), i.indrelid, c.oid)::regclass::text AS table,
    sum(CASE WHEN i.indexrelid IS NULL THEN pg_table_size(c.oid) ELSE pg_relation_size(c.oid) END)::float8 AS bytes
  FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
  WHERE c.relnamespace IN ('public'::regnamespace, 'audit_partitions'::regnamespace) AND c.relkind IN ('r', 'i')
  GROUP BY 1, 2, 3`;
