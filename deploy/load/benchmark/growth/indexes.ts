import type pg from 'pg';

/** What makes the indexes and foreign keys again that were dropped. */
export type Dropped = {
  /** By table: statements on different tables may run at once. */
  readonly indexes: readonly (readonly string[])[];
  /** To be run when all indexes are there. */
  readonly foreignKeys: readonly string[];
};

/**
 * As full as random IDs leave the pages of an index that grows: with fresh pages, sizes would be a fifth too small, and the
 * first writes would split page after page.
 */
const FILL_FACTOR = 70;

/** Drops the indexes of the tables, and the foreign keys from and to them: building an index is cheaper than growing it. */
export async function dropIndexes(owner: pg.ClientBase, tables: readonly string[]): Promise<Dropped> {
  const find = async (sql: string) => (await owner.query<Found>(sql, [tables])).rows;
  const foreignKeys = await find(FOREIGN_KEYS);
  const keys = await find(KEYS);
  for (const { table, name } of [...foreignKeys, ...keys])
    await owner.query(`ALTER TABLE ${table} DROP CONSTRAINT ${name}`);
  const others = await find(OTHER_INDEXES);
  for (const { name } of others) await owner.query(`DROP INDEX ${name}`);
  const again = [
    ...keys.map((key) => ({ ...key, sql: addConstraint({ ...key, definition: filled(key.definition) }) })),
    ...others.map((index) => ({ ...index, sql: createIndex(index) })),
  ];
  return {
    indexes: tables.map((table) => again.filter((one) => one.table === table).map(({ sql }) => sql)),
    foreignKeys: foreignKeys.map(addConstraint),
  };
}

type Found = { readonly table: string; readonly name: string; readonly definition: string };

function addConstraint({ table, name, definition }: Found): string {
  return `ALTER TABLE ${table} ADD CONSTRAINT ${name} ${definition}`;
}

/** PostgreSQL describes the index of a partitioned table without those of the partitions. */
function createIndex({ definition }: Found): string {
  return filled(definition.replace(' ON ONLY ', ' ON '));
}

function filled(definition: string): string {
  if (definition.includes(' WITH (')) return definition; // of an earlier call
  return definition.replace(/( WHERE .*)?$/, ` WITH (fillfactor = ${FILL_FACTOR})$1`);
}

/** Without those of partitions, which come and go with the partitioned table's. */
const constraints = (condition: string) => `
  SELECT conrelid::regclass::text AS table, quote_ident(conname) AS name, pg_get_constraintdef(oid) AS definition
  FROM pg_constraint WHERE conparentid = 0 AND ${condition} ORDER BY 1, 2`;
const FOREIGN_KEYS = constraints(
  `contype = 'f' AND (conrelid = ANY ($1::regclass[]) OR confrelid = ANY ($1::regclass[]))`,
);
const KEYS = constraints(`contype IN ('p', 'u') AND conrelid = ANY ($1::regclass[])`);
const OTHER_INDEXES = `
  SELECT indrelid::regclass::text AS table, indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
  FROM pg_index WHERE indrelid = ANY ($1::regclass[]) ORDER BY 1, 2`;
