import { type Hash, hash as hashOnce } from 'node:crypto';
import { ROW_OUTCOMES } from '../../activities/batches/batch-row.ts';
import { encodeRows } from '../../activities/batches/chunk-content.ts';
import { ownKeyOf } from '../../activities/batches/row.ts';
import { crashPoint } from '../../activities/crash-points.ts';
import { type Pool, transaction } from '../../activities/database.ts';
import type { Operation } from '../../activities/operation.ts';
import { createNamedSet, type NamedSet, namedResources } from '../../activities/write/named-resources.ts';
import type { FileRow } from './file-rows.ts';
import { untilItPasses } from './transient.ts';

/** A row as it is stored: its JSON, what tells it from another, and what it names. */
export type StoredRow = {
  readonly row: number;
  readonly json: string;
  readonly digest: Buffer;
  readonly isMalformed: boolean;
  /** Its own key; null where that follows from the file. */
  readonly key: string | null;
  readonly operation: string | null;
  readonly resources: readonly string[];
};

const DIGEST_BYTES = 16;

/** `operation`: of the rows that name none. */
export function toStored(companyId: string, { row, content }: FileRow, operation: Operation | undefined): StoredRow {
  const { line } = row;
  const named = 'input' in row ? row.input : undefined;
  const ownKey = ownKeyOf(row) ?? null;
  const name = typeof named?.operation === 'string' ? named.operation : (operation?.name ?? null);
  return {
    row: row.row,
    json: `{"row":${row.row},"line":${line},${'input' in row ? '"input"' : '"malformed"'}:${content}}`,
    digest: hashOnce('sha256', content, 'buffer').subarray(0, DIGEST_BYTES),
    isMalformed: named === undefined,
    key: ownKey,
    operation: named === undefined ? null : name,
    resources:
      named === undefined ? [] : namedResources({ companyId, operation: name ?? '', key: ownKey, input: named }),
  };
}

/** Few enough that a chunk is one group, whose input Temporal takes, and is soon done. */
const CHUNK_ROWS = 500;
const CHUNK_BYTES = 512 * 1024;
/** Of which a chunk knows whether they name what it names, too (`claim_chunk`). */
const CHUNKS_COMPARED = 8;

/** Chunks of an upload that are being stored while the next rows are read. */
const STORED_AT_ONCE = 2;

/**
 * Puts rows together, and stores each chunk as soon as it is whole; again for a while where the database does not. What could not
 * be stored is told by the next call.
 */
export function createChunkStore(options: {
  readonly pool: Pool;
  readonly companyId: string;
  readonly batchId: string;
  readonly uploadId: string;
  /** How long a chunk is tried to be stored. */
  readonly patienceMs: number;
  /** Called for each chunk that is stored. */
  onStored(rows: number): void;
}) {
  const { pool, companyId, batchId, uploadId, patienceMs, onStored } = options;
  let rows: StoredRow[] = [];
  let bytes = 0;
  let chunks = 0;
  /** What each of the last chunks names, the newest first. */
  let before: NamedSet[] = [];
  const storing = new Set<Promise<void>>();
  const failures: unknown[] = [];
  let isWanted = true;

  /** Takes the rows that are there as a chunk; waits while as many as may be are being stored. */
  async function store(): Promise<void> {
    while (storing.size >= STORED_AT_ONCE) await Promise.race(storing);
    if (failures.length > 0) throw failures[0];
    const [first] = rows;
    if (first === undefined) return;
    const names = createNamedSet();
    let conflicts = 0;
    for (const { resources } of rows) {
      for (const [at, earlier] of before.entries()) if (earlier.meets(resources)) conflicts |= 1 << at;
      names.add(resources);
    }
    chunks += 1;
    const stored = insert({ chunk: chunks, first: first.row, rows, conflicts })
      .catch((error: unknown) => void failures.push(error))
      .finally(() => storing.delete(stored));
    storing.add(stored);
    rows = [];
    bytes = 0;
    before = [names, ...before].slice(0, CHUNKS_COMPARED);
  }

  async function insert(whole: { chunk: number; first: number; rows: readonly StoredRow[]; conflicts: number }) {
    const content = await encodeRows(whole.rows.map(({ json }) => json));
    const keys = whole.rows.map(({ key }) => key);
    const values = [
      companyId,
      batchId,
      uploadId,
      whole.chunk,
      whole.first,
      whole.rows.length,
      content,
      keys.some((key) => key !== null) ? keys : null,
      Buffer.concat(whole.rows.map(({ digest }) => digest)),
      whole.conflicts,
      ROW_OUTCOMES.pending.repeat(whole.rows.length),
    ];
    const attempt = () =>
      transaction(
        pool,
        async (tx) => {
          await Promise.all([
            tx.query('SELECT enter_company($1)', [companyId]),
            // An attempt whose COMMIT nobody knows of may have stored it: of an upload, a number is one chunk.
            tx.query(
              `INSERT INTO batch_chunks (company_id, batch_id, upload_id, chunk, first_row, row_count, content, keys, digests,
                 conflicts, outcomes, pending)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $6) ON CONFLICT DO NOTHING`,
              values,
            ),
          ]);
        },
        { companyId, patience: 'patient' },
      );
    await untilItPasses(attempt, { forMs: patienceMs, isWanted: () => isWanted && failures.length === 0 });
    onStored(whole.rows.length);
    crashPoint('upload: chunk stored');
  }

  return {
    async add(row: StoredRow): Promise<void> {
      const length = Buffer.byteLength(row.json);
      if (rows.length === CHUNK_ROWS || (rows.length > 0 && bytes + length > CHUNK_BYTES)) await store();
      rows.push(row);
      bytes += length;
    },
    /** Stores the last chunk, and waits until all are stored. Returns how many there are. */
    async end(): Promise<number> {
      await store();
      await Promise.all(storing);
      if (failures.length > 0) throw failures[0];
      return chunks;
    },
    /** The upload has failed: waits until nothing is being stored any more, and no attempt is made again. */
    async giveUp(): Promise<void> {
      isWanted = false;
      await Promise.all(storing);
    },
  };
}

/** Passes bytes on, and takes them into the hash. */
export async function* hashing(bytes: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) {
    hash.update(chunk);
    yield chunk;
  }
}

/** The digests of a batch's rows in their order, read chunk by chunk. */
export async function* storedDigests(
  pool: Pool,
  { companyId, batchId, uploadId }: { companyId: string; batchId: string; uploadId: string },
): AsyncGenerator<Buffer> {
  for (let chunk = 1; ; chunk += 1) {
    const found = await transaction(
      pool,
      async (tx) => {
        await tx.query('SELECT enter_company($1)', [companyId]);
        return tx.query<{ digests: Buffer }>(
          `SELECT digests FROM batch_chunks
           WHERE company_id = $1 AND batch_id = $2 AND upload_id = $3 AND chunk = $4`,
          [companyId, batchId, uploadId, chunk],
        );
      },
      { companyId, patience: 'patient' },
    );
    const [stored] = found;
    if (stored === undefined) return;
    for (let at = 0; at * DIGEST_BYTES < stored.digests.length; at += 1) {
      yield stored.digests.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
    }
  }
}
