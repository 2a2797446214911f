import type pg from 'pg';
import { SALT_LENGTH, type SealedLog } from './content.ts';
import { type Digest, leafOf, NO_DIGEST, nextInChain, rootOf } from './digests.ts';
import { type BatchRow, readBatches, readSealedRows, type SealedRow, saltOf } from './read-log.ts';

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
      ? 'SELECT number::text, entry_id AS row_id FROM sealed_entries s WHERE company_id = $1 AND number >= $2 ORDER BY s.number'
      : 'SELECT number::text, row_id::text FROM sealed_audit_rows s WHERE company_id = $1 AND number >= $2 ORDER BY s.number',
    [companyId, from],
  );
  for (const { number, row_id } of rows) find('seal-batch-missing', BigInt(number), { row_id, write_id: null });
}
