import type pg from 'pg';
import {
  auditContent,
  entryContent,
  SALT_LENGTH,
  type Salt,
  type SealedAuditRow,
  type SealedEntry,
  type SealedLog,
} from './content.ts';
import type { Digest } from './digests.ts';
import {
  AUDIT_CONTENT,
  AUDIT_JOINS,
  ENTRY_CONTENT,
  ENTRY_JOINS,
  LOST_MEMBERS,
  type ReadEntry,
  toSealedEntries,
} from './sealed-rows.ts';

/** Reads a log with its seal, a page at a time: for whoever verifies it, and for a bundle. */

type Queryable = Pick<pg.ClientBase, 'query'>;

const ROWS_A_PAGE = 2_000;

export function saltOf({ first_number, salts, erased }: BatchRow, number: bigint): Salt {
  const digests = erased?.[String(number)];
  if (digests !== undefined) return digests;
  const at = Number(number - first_number) * SALT_LENGTH;
  return (salts ?? Buffer.alloc(0)).subarray(at, at + SALT_LENGTH);
}

export type BatchRow = {
  readonly first_number: bigint;
  readonly last_number: bigint;
  readonly head: Digest;
  readonly root: Digest;
  readonly epoch: number;
  readonly salts: Buffer | null;
  readonly erased: Readonly<Record<string, Readonly<Record<string, string>>>> | null;
};

/** At least one, and as many as fit into a page. */
export async function readBatches(
  database: Queryable,
  companyId: string,
  log: SealedLog,
  from: bigint,
): Promise<readonly BatchRow[]> {
  const { rows } = await database.query<Record<keyof BatchRow, never> & { first_number: string; last_number: string }>(
    `SELECT b.first_number::text, b.last_number::text, b.head, b.root, b.epoch, s.salts, s.erased FROM seal_batches b
     LEFT JOIN seal_salts s USING (company_id, log, first_number)
     WHERE b.company_id = $1 AND b.log = $2 AND b.first_number >= $3
     ORDER BY b.first_number LIMIT 500`,
    [companyId, log, from],
  );
  const batches = rows.map((row) => ({
    ...(row as unknown as BatchRow),
    first_number: BigInt(row.first_number),
    last_number: BigInt(row.last_number),
  }));
  const [first] = batches;
  return first === undefined
    ? []
    : batches.filter((batch, i) => i === 0 || batch.last_number - first.first_number < BigInt(ROWS_A_PAGE));
}

export type SealedRow = {
  readonly leaf: Digest;
  readonly row_id: string;
  readonly write_id: string | null;
  readonly is_archived: boolean;
  /** Null where the row is not there. */
  readonly content: ((salt: Salt) => string) | null;
};

export async function readSealedRows(
  database: Queryable,
  companyId: string,
  log: SealedLog,
  first: bigint,
  last: bigint,
): Promise<ReadonlyMap<bigint, SealedRow>> {
  const read = log === 'journal' ? readSealedEntries : readSealedAuditRows;
  const rows = await read(database, [companyId, first, last]);
  return new Map(rows.map((row) => [BigInt(row.sealed_number), toSealedRow(log, row)]));
}

type Range = [companyId: string, first: bigint, last: bigint];

async function readSealedEntries(database: Queryable, range: Range): Promise<(SealedColumns & Partial<SealedEntry>)[]> {
  const { rows } = await database.query<SealedColumns & ReadEntry>(SEALED_ENTRIES, range);
  return toSealedEntries(async (sql, values) => (await database.query(sql, values)).rows as never, rows);
}

async function readSealedAuditRows(
  database: Queryable,
  range: Range,
): Promise<(SealedColumns & Partial<SealedAuditRow>)[]> {
  const { rows } = await database.query<SealedColumns & Partial<SealedAuditRow>>(SEALED_AUDIT_ROWS, range);
  return rows;
}

type SealedColumns = {
  readonly sealed_number: string;
  readonly sealed_leaf: Digest;
  readonly sealed_row_id: string;
  readonly sealed_archived: boolean;
};

function toSealedRow(log: SealedLog, row: SealedColumns & Partial<SealedEntry | SealedAuditRow>): SealedRow {
  const isThere = row.companyId !== null && !row.sealed_archived;
  const of = (salt: Salt) =>
    log === 'journal' ? entryContent(row as SealedEntry, salt) : auditContent(row as SealedAuditRow, salt);
  return {
    leaf: row.sealed_leaf,
    row_id: row.sealed_row_id,
    write_id: row.writeId ?? null,
    is_archived: row.sealed_archived,
    content: isThere ? of : null,
  };
}

const SEALED_ENTRIES = `
SELECT s.number::text AS sealed_number, s.leaf AS sealed_leaf, s.entry_id AS sealed_row_id, false AS sealed_archived,
  ${ENTRY_CONTENT}
FROM sealed_entries s LEFT JOIN journal_entries e ON e.company_id = s.company_id AND e.id = s.entry_id ${ENTRY_JOINS}
WHERE s.company_id = $1 AND s.number BETWEEN $2 AND $3`;

/**
 * Each row is looked up in its month: by a join the planner may read the whole log for a page. The archived months are read once.
 * Rows of detached months are not in the log. One of a restored month whose write has lost members with a person has its content no
 * more: its answer is another one now, and its file is compared with the archive's digest when it is restored.
 */
const SEALED_AUDIT_ROWS = `
WITH archived AS MATERIALIZED (SELECT month, restored_until FROM archived_audit_months())
SELECT s.number::text AS sealed_number, s.leaf AS sealed_leaf, s.row_id::text AS sealed_row_id,
  EXISTS (
    SELECT FROM archived m WHERE m.month = date_trunc('month', s.row_timestamp AT TIME ZONE 'UTC')::date
      AND CASE WHEN a.id IS NULL THEN m.restored_until IS NULL OR m.restored_until <= now() ELSE ${LOST_MEMBERS} END
  ) AS sealed_archived, ${AUDIT_CONTENT}
FROM sealed_audit_rows s
LEFT JOIN LATERAL (
  SELECT a.* FROM idempotent_write_audit_log a WHERE a.timestamp = s.row_timestamp AND a.id = s.row_id LIMIT 1
) AS a ON true ${AUDIT_JOINS}
WHERE s.company_id = $1 AND s.number BETWEEN $2 AND $3`;
