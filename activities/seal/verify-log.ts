import type pg from 'pg';
import { SALT_LENGTH, type SealedLog } from './content.ts';
import { type Digest, leafOf, NO_DIGEST, nextInChain, rootOf } from './digests.ts';
import { type BatchRow, readBatches, readSealedRows, type SealedRow, saltOf } from './read-log.ts';

/**
 * Compares one log of one company with its seal: each row with its leaf, the leaves with chain and trees, the numbers with 1, 2, 3
 * and so on. Reads a page at a time.
 */

type Queryable = Pick<pg.ClientBase, 'query'>;

export const SEAL_FINDINGS = {
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

/** What a page has come to, and where to go on: after that number, with the chain's digest there. */
export type VerifiedPage = {
  readonly rows: number;
  readonly findings: readonly SealFinding[];
  readonly after: SealPlace;
};

/** The digest in hexadecimal; `number` 0 is the beginning. */
export type SealPlace = { readonly number: number; readonly digest: string };

export const BEGINNING: SealPlace = { number: 0, digest: NO_DIGEST.toString('hex') };

/**
 * Archived audit rows count by their leaf: their content is compared when they are restored. `from`: the end of an earlier page, for
 * going on.
 */
export async function* verifyLog(
  database: Queryable,
  {
    companyId,
    log,
    from = BEGINNING,
  }: { readonly companyId: string; readonly log: SealedLog; readonly from?: SealPlace },
): AsyncGenerator<VerifiedPage> {
  let findings: SealFinding[] = [];
  const find: Find = (kind, number, row) =>
    findings.push({ kind, companyId, log, number, rowId: row?.row_id ?? null, writeId: row?.write_id ?? null });
  const after = (number: bigint, digest: Digest) => ({ number: Number(number), digest: digest.toString('hex') });
  let next = BigInt(from.number) + 1n;
  let head: Digest = Buffer.from(from.digest, 'hex');
  for (;;) {
    const batches = await readBatches(database, companyId, log, next);
    const [firstBatch, lastBatch] = [batches[0], batches.at(-1)];
    if (firstBatch === undefined || lastBatch === undefined) break;
    const sealed = await readSealedRows(database, companyId, log, firstBatch.first_number, lastBatch.last_number);
    for (const batch of batches) {
      if (batch.first_number !== next) find('seal-batch-missing', next);
      checkBatch(batch, sealed, { find, before: batch.first_number === next ? head : undefined });
      head = batch.head;
      next = batch.last_number + 1n;
    }
    yield { rows: sealed.size, findings, after: after(next - 1n, head) };
    findings = [];
  }
  await findRowsWithoutBatch(database, companyId, log, next, find);
  yield { rows: 0, findings, after: after(next - 1n, head) };
}

type Find = (kind: SealFinding['kind'], number: bigint, row?: Pick<SealedRow, 'row_id' | 'write_id'>) => void;

/** `before`: the chain's digest before the batch, where that is known. */
function checkBatch(
  batch: BatchRow,
  sealed: ReadonlyMap<bigint, SealedRow>,
  { find, before }: { find: Find; before: Digest | undefined },
): void {
  const leaves: Digest[] = [];
  let digest = before;
  let isWhole = true;
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
    leaves.push(row.leaf);
    if (digest !== undefined) digest = nextInChain(digest, number, row.leaf);
    if (row.content !== null) {
      if (!leafOf(row.content(saltOf(batch, number))).equals(row.leaf)) find('sealed-row-altered', number, row);
    } else if (!row.is_archived) find('sealed-row-missing', number, row);
  }
  // A number that is missing is told already, and nothing more follows from its batch.
  if (!isWhole) return;
  if (digest !== undefined && !digest.equals(batch.head)) find('seal-chain-broken', batch.first_number);
  if (!rootOf(leaves).equals(batch.root)) find('seal-tree-broken', batch.first_number);
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
