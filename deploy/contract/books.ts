import pg from 'pg';

/** Reads the database behind the API with the auditor's role: every tenant table that exists, whatever its name. */
export type Books = {
  /** A digest of the company's rows per table, including the record of writes. */
  digest(companyId: string): Promise<Digest>;
  differing(before: Digest, after: Digest): readonly string[];
  effects(companyId: string, key: string, writeId: string): Promise<Effects>;
  /** The transactions that wrote the company's current rows: `payments 4711` for each table and transaction. */
  makers(companyId: string): Promise<ReadonlySet<string>>;
  record(companyId: string, key: string): Promise<WriteRecord | undefined>;
  /** Tables in which another company has a row with the write's ID, or its event or entry. */
  elsewhere(companyId: string, writeId: string): Promise<readonly string[]>;
  /** Tables with a row of that ID. */
  tablesWith(companyId: string, id: string): Promise<readonly string[]>;
  /** How many rows of the table, in any company, do not have the ID of a write of that company. */
  strays(table: string): Promise<number>;
  /** Whether a unique index enforces the columns. */
  isUnique(table: string, columns: readonly string[]): Promise<boolean>;
  /** Tenant tables without row-level security, or without FORCE for their owner. */
  unprotected(): Promise<readonly string[]>;
};

type Digest = ReadonlyMap<string, string>;

type Effects = {
  readonly writes: number;
  readonly newAudit: number;
  readonly replayedAudit: number;
  readonly failedAudit: number;
  readonly entries: number;
  readonly events: number;
};

type WriteRecord = {
  readonly writeId: string;
  readonly outcome: string;
  /** The transaction that wrote the current row version. */
  readonly madeBy: string;
  /** The transactions of the audit rows with status `new`. */
  readonly auditMadeBy: readonly string[];
  readonly events: readonly {
    readonly id: string;
    readonly madeBy: string;
    /** The relay has marked the event, and so wrote its current row version. */
    readonly isMarked: boolean;
    /** Its transaction had already begun when the key was claimed. */
    readonly isOfTheClaim: boolean;
  }[];
};

/** Tables that also change without a new write: the relay marks events, a replay adds an audit row, and a refusal is recorded. */
const NOT_OF_A_WRITE_ALONE = new Set(['outbox', 'idempotent_write_audit_log', 'security_log']);

export async function openBooks(auditor: pg.Client): Promise<Books> {
  const tables = await tenantTables(auditor);
  const still = tables.filter(({ name }) => !NOT_OF_A_WRITE_ALONE.has(name));
  const withId = still.filter(({ hasId }) => hasId);
  const union = (of: readonly Table[], select: (table: Table, quoted: string) => string) =>
    of.map((table) => select(table, pg.escapeIdentifier(table.name))).join(' UNION ALL ');
  const rowsOf = async <T>(sql: string, values: readonly unknown[]) =>
    (await auditor.query(sql, [...values])).rows as T[];
  const namesOf = async (sql: string, values: readonly unknown[]) =>
    (await rowsOf<{ name: string }>(sql, values)).map(({ name }) => name);

  return {
    async digest(companyId) {
      const rows = await rowsOf<{ name: string; digest: string }>(
        union(
          still,
          ({ name, companyColumn }, quoted) =>
            `SELECT '${name}' AS name, md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) AS digest
             FROM ${quoted} t WHERE t.${companyColumn} = $1`,
        ),
        [companyId],
      );
      return new Map(rows.map(({ name, digest }) => [name, digest]));
    },
    differing: (before, after) =>
      [...after].filter(([name, digest]) => before.get(name) !== digest).map(([name]) => name),
    async effects(companyId, key, writeId) {
      const [effects] = await rowsOf<Effects>(EFFECTS, [companyId, key, writeId]);
      return effects as Effects;
    },
    async makers(companyId) {
      const rows = await rowsOf<{ maker: string }>(
        union(
          still,
          ({ name, companyColumn }, quoted) =>
            `SELECT DISTINCT '${name} ' || t.xmin::text AS maker FROM ${quoted} t WHERE t.${companyColumn} = $1`,
        ),
        [companyId],
      );
      return new Set(rows.map(({ maker }) => maker));
    },
    async record(companyId, key) {
      const [record] = await rowsOf<WriteRecord>(RECORD, [companyId, key]);
      return record;
    },
    elsewhere: (companyId, writeId) =>
      namesOf(
        `${union(withId, ({ name, companyColumn }, quoted) => `SELECT '${name}' AS name FROM ${quoted} WHERE id = $2 AND ${companyColumn} <> $1`)}
         UNION ALL SELECT 'outbox' FROM outbox WHERE write_id = $2 AND company_id <> $1
         UNION ALL SELECT 'journal_entries' FROM journal_entries WHERE write_id = $2 AND company_id <> $1`,
        [companyId, writeId],
      ),
    tablesWith: (companyId, id) =>
      namesOf(
        union(
          withId,
          ({ name, companyColumn }, quoted) =>
            `SELECT '${name}' AS name FROM ${quoted} WHERE ${companyColumn} = $1 AND id = $2`,
        ),
        [companyId, id],
      ),
    async strays(table) {
      const [found] = await rowsOf<{ count: number }>(
        `SELECT count(*)::int AS count FROM ${pg.escapeIdentifier(table)} t
         WHERE NOT EXISTS (SELECT FROM idempotent_writes w WHERE w.company_id = t.company_id AND w.write_id = t.id)`,
        [],
      );
      return found?.count ?? 0;
    },
    async isUnique(table, columns) {
      const [found] = await rowsOf<{ unique: boolean }>(UNIQUE, [table, columns]);
      return found?.unique === true;
    },
    async unprotected() {
      return namesOf(
        `SELECT relname AS name FROM pg_class
         WHERE oid = ANY ($1::regclass[]) AND NOT (relrowsecurity AND relforcerowsecurity)`,
        [tables.map(({ name }) => pg.escapeIdentifier(name))],
      );
    },
  };
}

type Table = { readonly name: string; readonly hasId: boolean; readonly companyColumn: 'company_id' | 'id' };

async function tenantTables(auditor: pg.Client): Promise<readonly Table[]> {
  const { rows } = await auditor.query<Table>(
    `SELECT c.table_name AS name, bool_or(c.column_name = 'id') AS "hasId",
       CASE WHEN c.table_name = 'companies' THEN 'id' ELSE 'company_id' END AS "companyColumn"
     FROM information_schema.columns c
     JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
     WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
     GROUP BY c.table_name HAVING bool_or(c.column_name = 'company_id') OR c.table_name = 'companies'
     ORDER BY c.table_name`,
  );
  return rows;
}

const EFFECTS = `
SELECT (SELECT count(*) FROM idempotent_writes WHERE company_id = $1 AND idempotency_key = $2)::int AS writes,
  count(*) FILTER (WHERE status = 'new')::int AS "newAudit",
  count(*) FILTER (WHERE status = 'replayed')::int AS "replayedAudit",
  count(*) FILTER (WHERE status = 'failed')::int AS "failedAudit",
  (SELECT count(*) FROM journal_entries WHERE company_id = $1 AND write_id = $3)::int AS entries,
  (SELECT count(*) FROM outbox WHERE company_id = $1 AND write_id = $3)::int AS events
FROM idempotent_write_audit_log WHERE company_id = $1 AND idempotency_key = $2`;

const RECORD = `
SELECT w.write_id AS "writeId", w.outcome, w.xmin::text AS "madeBy",
  (SELECT coalesce(json_agg(a.xmin::text), '[]') FROM idempotent_write_audit_log a
   WHERE a.company_id = w.company_id AND a.idempotency_key = w.idempotency_key AND a.status = 'new') AS "auditMadeBy",
  (SELECT coalesce(json_agg(json_build_object('id', o.id, 'madeBy', o.xmin::text, 'isMarked', o.sequence IS NOT NULL,
     'isOfTheClaim', o.occurred_at <= w.claimed_at)), '[]')
   FROM outbox o WHERE o.company_id = w.company_id AND o.write_id = w.write_id) AS events
FROM idempotent_writes w WHERE w.company_id = $1 AND w.idempotency_key = $2`;

/** Whether there is a valid, immediate, total unique index on exactly these columns. */
const UNIQUE = `
SELECT EXISTS (
  SELECT FROM pg_index i WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indisvalid AND i.indimmediate
    AND i.indpred IS NULL AND i.indexprs IS NULL
    AND (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_attribute a
         WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)) = (SELECT array_agg(c ORDER BY c) FROM unnest($2::text[]) c)
) AS "unique"`;
