import type pg from 'pg';
import { auditContent, entryContent, SALT_LENGTH, type Salt, type SealedAuditRow, type SealedLog } from './content.ts';
import { type Digest, leafOf, NO_DIGEST, nextInChain, rootOf } from './digests.ts';
import {
  AUDIT_CONTENT,
  AUDIT_JOINS,
  ENTRY_CONTENT,
  ENTRY_JOINS,
  type ReadEntry,
  toSealedEntry,
} from './sealed-rows.ts';

/**
 * Compares one log of one company with its seal: each row with its leaf, the leaves with chain and trees, the numbers with 1, 2, 3
 * and so on. Reads a page at a time.
 */

type Queryable = Pick<pg.ClientBase, 'query'>;

const SEAL_FINDINGS = {
  'sealed-row-altered': 'A sealed row is not what was sealed',
  'sealed-row-missing': 'A sealed row does not exist',
  'seal-number-missing': 'A number of the seal has no row',
  'seal-chain-broken': 'The digest of a batch does not follow from its rows and the batch before',
  'seal-tree-broken': 'The tree of a batch does not follow from its rows',
  'seal-batch-missing': 'Batches do not follow one another',
  'seal-salts-missing': 'A batch has no salts, or not one for each row',
} as const;

export type SealFinding = {
  readonly kind: keyof typeof SEAL_FINDINGS;
  readonly companyId: string;
  readonly log: SealedLog;
  /** Of the first row that it is about. */
  readonly number: bigint;
  /** ID of the entry, or of the audit row; null where it is about a batch. */
  readonly rowId: string | null;
  readonly writeId: string | null;
};

export type VerifiedLog = {
  readonly companyId: string;
  readonly log: SealedLog;
  readonly rows: number;
  /** Audit rows that are in the archive: they count by their leaf, and their content is compared when they are restored. */
  readonly archived: number;
  /** The number of the last sealed row, and the chain's digest after it; null where nothing is sealed. */
  readonly head: { readonly number: bigint; readonly digest: Digest } | null;
};

const ROWS_A_PAGE = 2_000;

export async function verifyLog(
  database: Queryable,
  { companyId, log }: { readonly companyId: string; readonly log: SealedLog },
  on: {
    finding(finding: SealFinding): void;
    /** The chain's digest after each number that is asked for. */
    digestAt?: (number: bigint, digest: Digest) => void;
    page?: (rows: number) => void;
  },
): Promise<VerifiedLog> {
  const find = (kind: SealFinding['kind'], number: bigint, row?: Pick<SealedRow, 'row_id' | 'write_id'>) =>
    on.finding({ kind, companyId, log, number, rowId: row?.row_id ?? null, writeId: row?.write_id ?? null });
  let [rows, archived, next] = [0, 0, 1n];
  let head: Digest = NO_DIGEST;
  for (;;) {
    const batches = await readBatches(database, companyId, log, next);
    const [firstBatch, lastBatch] = [batches[0], batches.at(-1)];
    if (firstBatch === undefined || lastBatch === undefined) break;
    const sealed = await readSealedRows(database, companyId, log, firstBatch.first_number, lastBatch.last_number);
    for (const batch of batches) {
      if (batch.first_number !== next) find('seal-batch-missing', next);
      const before = batch.first_number === next ? head : undefined;
      const checked = checkBatch(batch, sealed, { find, before, digestAt: on.digestAt });
      rows += checked.rows;
      archived += checked.archived;
      head = batch.head;
      next = batch.last_number + 1n;
    }
    on.page?.(sealed.size);
  }
  await findRowsWithoutBatch(database, companyId, log, next, find);
  return { companyId, log, rows, archived, head: next === 1n ? null : { number: next - 1n, digest: head } };
}

type Find = (kind: SealFinding['kind'], number: bigint, row?: Pick<SealedRow, 'row_id' | 'write_id'>) => void;

function checkBatch(
  batch: BatchRow,
  sealed: ReadonlyMap<bigint, SealedRow>,
  {
    find,
    before,
    digestAt,
  }: { find: Find; before: Digest | undefined; digestAt: ((number: bigint, digest: Digest) => void) | undefined },
): { rows: number; archived: number } {
  const leaves: Digest[] = [];
  let [rows, archived, digest, isWhole] = [0, 0, before, true];
  if ((batch.salts?.length ?? 0) !== Number(batch.last_number - batch.first_number + 1n) * SALT_LENGTH) {
    find('seal-salts-missing', batch.first_number);
  }
  for (let number = batch.first_number; number <= batch.last_number; number += 1n) {
    const row = sealed.get(number);
    if (row === undefined) {
      find('seal-number-missing', number);
      isWhole = false;
      continue;
    }
    rows += 1;
    leaves.push(row.leaf);
    if (digest !== undefined) digest = nextInChain(digest, number, row.leaf);
    if (digest !== undefined) digestAt?.(number, digest);
    if (row.content === null) {
      if (row.is_archived) archived += 1;
      else find('sealed-row-missing', number, row);
    } else if (!leafOf(row.content(saltOf(batch, number))).equals(row.leaf)) find('sealed-row-altered', number, row);
  }
  // A number that is missing is told already, and nothing more follows from its batch.
  if (!isWhole) return { rows, archived };
  if (digest !== undefined && !digest.equals(batch.head)) find('seal-chain-broken', batch.first_number);
  if (!rootOf(leaves).equals(batch.root)) find('seal-tree-broken', batch.first_number);
  return { rows, archived };
}

function saltOf({ first_number, salts, erased }: BatchRow, number: bigint): Salt {
  const digests = erased?.[String(number)];
  if (digests !== undefined) return digests;
  const at = Number(number - first_number) * SALT_LENGTH;
  return (salts ?? Buffer.alloc(0)).subarray(at, at + SALT_LENGTH);
}

type BatchRow = {
  readonly first_number: bigint;
  readonly last_number: bigint;
  readonly head: Digest;
  readonly root: Digest;
  readonly salts: Buffer | null;
  readonly erased: Readonly<Record<string, Readonly<Record<string, string>>>> | null;
};

/** At least one, and as many as fit into a page. */
async function readBatches(
  database: Queryable,
  companyId: string,
  log: SealedLog,
  from: bigint,
): Promise<readonly BatchRow[]> {
  const { rows } = await database.query<Record<keyof BatchRow, never> & { first_number: string; last_number: string }>(
    `SELECT b.first_number::text, b.last_number::text, b.head, b.root, s.salts, s.erased FROM seal_batches b
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

type SealedRow = {
  readonly leaf: Digest;
  readonly row_id: string;
  readonly write_id: string | null;
  readonly is_archived: boolean;
  /** Null where the row is not there. */
  readonly content: ((salt: Salt) => string) | null;
};

async function readSealedRows(
  database: Queryable,
  companyId: string,
  log: SealedLog,
  first: bigint,
  last: bigint,
): Promise<ReadonlyMap<bigint, SealedRow>> {
  const { rows } =
    log === 'journal'
      ? await database.query<SealedColumns & Partial<ReadEntry>>(SEALED_ENTRIES, [companyId, first, last])
      : await database.query<SealedColumns & Partial<SealedAuditRow>>(SEALED_AUDIT_ROWS, [companyId, first, last]);
  return new Map(rows.map((row) => [BigInt(row.sealed_number), toSealedRow(log, row)]));
}

type SealedColumns = {
  readonly sealed_number: string;
  readonly sealed_leaf: Digest;
  readonly sealed_row_id: string;
  readonly sealed_archived: boolean;
};

function toSealedRow(log: SealedLog, row: SealedColumns & Partial<ReadEntry | SealedAuditRow>): SealedRow {
  const { sealed_number, sealed_leaf, sealed_row_id, sealed_archived, ...content } = row;
  const isThere = content.companyId !== null && !sealed_archived;
  const of = (salt: Salt) =>
    log === 'journal'
      ? entryContent(toSealedEntry(content as ReadEntry), salt)
      : auditContent(content as SealedAuditRow, salt);
  return {
    leaf: sealed_leaf,
    row_id: sealed_row_id,
    write_id: content.writeId ?? null,
    is_archived: sealed_archived,
    content: isThere ? of : null,
  };
}

const SEALED_ENTRIES = `
SELECT s.number::text AS sealed_number, s.leaf AS sealed_leaf, s.entry_id AS sealed_row_id, false AS sealed_archived,
  ${ENTRY_CONTENT}
FROM sealed_entries s LEFT JOIN journal_entries e ON e.company_id = s.company_id AND e.id = s.entry_id ${ENTRY_JOINS}
WHERE s.company_id = $1 AND s.number BETWEEN $2 AND $3`;

/**
 * Those of detached months are not in the log. One of a restored month whose write has lost members with a person has its content
 * no more: its answer is another one now, and its file is compared with the archive's digest when it is restored.
 */
const SEALED_AUDIT_ROWS = `
SELECT s.number::text AS sealed_number, s.leaf AS sealed_leaf, s.row_id::text AS sealed_row_id,
  EXISTS (
    SELECT FROM archived_audit_months() m WHERE m.month = date_trunc('month', s.row_timestamp AT TIME ZONE 'UTC')::date
      AND CASE WHEN a.id IS NULL THEN m.restored_until IS NULL OR m.restored_until <= now() ELSE w.request ? 'erased' END
  ) AS sealed_archived, ${AUDIT_CONTENT}
FROM sealed_audit_rows s
LEFT JOIN idempotent_write_audit_log a ON a.timestamp = s.row_timestamp AND a.id = s.row_id ${AUDIT_JOINS}
WHERE s.company_id = $1 AND s.number BETWEEN $2 AND $3`;

/** Rows with a number behind the last batch. */
async function findRowsWithoutBatch(
  database: Queryable,
  companyId: string,
  log: SealedLog,
  from: bigint,
  find: Find,
): Promise<void> {
  const { rows } = await database.query<{ number: string; row_id: string }>(
    log === 'journal'
      ? 'SELECT number::text, entry_id AS row_id FROM sealed_entries WHERE company_id = $1 AND number >= $2 ORDER BY 1'
      : 'SELECT number::text, row_id::text FROM sealed_audit_rows WHERE company_id = $1 AND number >= $2 ORDER BY 1',
    [companyId, from],
  );
  for (const { number, row_id } of rows) find('seal-batch-missing', BigInt(number), { row_id, write_id: null });
}
