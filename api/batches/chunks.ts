import { createHash, type Hash } from 'node:crypto';
import { ROW_OUTCOMES } from '../../activities/batches/batch-row.ts';
import { encodeRows } from '../../activities/batches/chunk-content.ts';
import type { Row } from '../../activities/batches/row.ts';
import { crashPoint } from '../../activities/crash-points.ts';
import { type Pool, transaction } from '../../activities/database.ts';
import { isKey } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { createNamedSet, type NamedSet, namedResources } from '../../activities/write/named-resources.ts';

/** A row as it is stored: its JSON, what tells it from another, and what it names. */
export type StoredRow = {
  readonly row: number;
  readonly json: string;
  readonly digest: Buffer;
  /** Its own key; null where that follows from the file. */
  readonly key: string | null;
  readonly operation: string | null;
  readonly resources: readonly string[];
};

const DIGEST_BYTES = 16;

/** `operation`: of the rows that name none. */
export function toStored(companyId: string, row: Row, operation: Operation | undefined): StoredRow {
  const content = JSON.stringify('input' in row ? row.input : row.malformed);
  const { line } = row;
  const named = 'input' in row ? row.input : undefined;
  const ownKey = typeof named?.key === 'string' && isKey(named.key) ? named.key : null;
  const name = typeof named?.operation === 'string' ? named.operation : (operation?.name ?? null);
  return {
    row: row.row,
    json: `{"row":${row.row},"line":${line},${'input' in row ? '"input"' : '"malformed"'}:${content}}`,
    digest: createHash('sha256').update(content).digest().subarray(0, DIGEST_BYTES),
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

/** Puts rows together, and stores each chunk as soon as it is whole. */
export function createChunkStore(options: {
  readonly pool: Pool;
  readonly companyId: string;
  readonly batchId: string;
  readonly uploadId: string;
  /** Called for each chunk that is stored. */
  onStored(rows: number): void;
}) {
  const { pool, companyId, batchId, uploadId, onStored } = options;
  let rows: StoredRow[] = [];
  let bytes = 0;
  let chunks = 0;
  /** What each of the last chunks names, the newest first. */
  let before: NamedSet[] = [];

  async function store(): Promise<void> {
    const [first] = rows;
    if (first === undefined) return;
    const names = createNamedSet();
    let conflicts = 0;
    for (const { resources } of rows) {
      for (const [at, earlier] of before.entries()) if (earlier.meets(resources)) conflicts |= 1 << at;
      names.add(resources);
    }
    const content = await encodeRows(rows.map(({ json }) => json));
    const keys = rows.map(({ key }) => key);
    chunks += 1;
    const values = [
      companyId,
      batchId,
      uploadId,
      chunks,
      first.row,
      rows.length,
      content,
      keys.some((key) => key !== null) ? keys : null,
      Buffer.concat(rows.map(({ digest }) => digest)),
      conflicts,
      ROW_OUTCOMES.pending.repeat(rows.length),
    ];
    const stored = rows.length;
    rows = [];
    bytes = 0;
    before = [names, ...before].slice(0, CHUNKS_COMPARED);
    await transaction(
      pool,
      async (tx) => {
        await Promise.all([
          tx.query('SELECT enter_company($1)', [companyId]),
          tx.query(
            `INSERT INTO batch_chunks (company_id, batch_id, upload_id, chunk, first_row, row_count, content, keys, digests,
               conflicts, outcomes, pending)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $6)`,
            values,
          ),
        ]);
      },
      { companyId, patience: 'patient' },
    );
    onStored(stored);
    crashPoint('upload: chunk stored');
  }

  return {
    async add(row: StoredRow): Promise<void> {
      const length = Buffer.byteLength(row.json);
      if (rows.length === CHUNK_ROWS || (rows.length > 0 && bytes + length > CHUNK_BYTES)) await store();
      rows.push(row);
      bytes += length;
    },
    /** Stores the last chunk. Returns how many there are. */
    async end(): Promise<number> {
      await store();
      return chunks;
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
): AsyncGenerator<{ readonly digest: Buffer; readonly hasOwnKey: boolean }> {
  for (let chunk = 1; ; chunk += 1) {
    const found = await transaction(
      pool,
      async (tx) => {
        await tx.query('SELECT enter_company($1)', [companyId]);
        return tx.query<{ digests: Buffer; keys: readonly (string | null)[] | null }>(
          `SELECT digests, keys FROM batch_chunks
           WHERE company_id = $1 AND batch_id = $2 AND upload_id = $3 AND chunk = $4`,
          [companyId, batchId, uploadId, chunk],
        );
      },
      { companyId, patience: 'patient' },
    );
    const [stored] = found;
    if (stored === undefined) return;
    for (let at = 0; at * DIGEST_BYTES < stored.digests.length; at += 1) {
      const digest = stored.digests.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
      yield { digest, hasOwnKey: (stored.keys?.[at] ?? null) !== null };
    }
  }
}
