import { createHash, randomUUID } from 'node:crypto';
import { type BatchRow, batchColumns } from '../../activities/batches/batch-row.ts';
import { batchIdOf } from '../../activities/batches/identity.ts';
import { crashPoint } from '../../activities/crash-points.ts';
import { type Pool, queryOnce, transaction } from '../../activities/database.ts';
import type { Operation } from '../../activities/operation.ts';
import type { ProblemPointer } from '../../activities/problem.ts';
import { requireTrust } from '../../activities/write/fence.ts';
import type { ApiContext } from '../context.ts';
import { ApiProblem } from '../http/problems.ts';
import type { Reader } from '../reads/read.ts';
import { mayCompare } from './access.ts';
import { createChunkStore, hashing, type StoredRow, storedDigests, toStored } from './chunks.ts';
import { noRows, rowsOfFile } from './file-rows.ts';
import type { Format } from './rows/read-rows.ts';

/** One attempt to send a file. */
export type Upload = {
  readonly sender: Reader;
  readonly requestId: string;
  readonly batchKey: string;
  /** Of the rows that name none. */
  readonly operation: Operation | undefined;
  readonly format: Format;
  readonly bytes: AsyncIterable<Buffer>;
};

export type Received = { readonly batch: BatchRow /** It was there before. */; readonly isRepeated: boolean };

/**
 * Stores a file chunk by chunk as it comes; the batch has it once all of it is there. The first upload that ends is the batch's.
 * Any other with the key is compared with it: the same file is answered with the batch, another one is refused, naming the first
 * row that differs. Throws ApiProblem, StorageError, and UnreadableFile.
 */
export async function receiveFile(context: ApiContext, upload: Upload): Promise<Received> {
  const { batchKey, sender } = upload;
  const { companyId } = sender;
  const pool = context.database.reads;
  const batchId = batchIdOf(companyId, batchKey);
  const begun = await beginBatch(context, upload, batchId);
  const hash = createHash('sha256');
  const rows = storedRows(upload, context, hashing(upload.bytes, hash));
  if (begun.state !== 'receiving') {
    await compare(context, begun, upload, { rows, sha256: () => hash.digest('hex') });
    return { batch: begun, isRepeated: true };
  }
  const uploadId = randomUUID();
  const mine = { companyId, batchId, uploadId };
  const store = createChunkStore({
    pool,
    ...mine,
    patienceMs: context.uploadLimits.silentMs,
    onStored: (stored) => context.metrics.batchRowsUploaded.inc(stored),
  });
  try {
    const known = new Map(context.operations.map(({ name, schemaVersion }) => [name, schemaVersion]));
    // Also where each row is malformed: whoever may read the batch may read the writes of its operation.
    const operations = new Set(upload.operation === undefined ? [] : [upload.operation.name]);
    let count = 0;
    let byBytes: number | undefined;
    for await (const row of rows) {
      await store.add(row);
      count = row.row;
      if (row.isByBytes) byBytes ??= row.row;
      if (row.operation !== null && known.has(row.operation)) operations.add(row.operation);
    }
    if (count === 0) throw noRows();
    const file = {
      uploadId,
      operations: [...operations],
      schemaVersions: [...operations].map((name) => known.get(name) ?? 0),
      sha256: hash.digest('hex'),
      rows: count,
      chunks: await store.end(),
    };
    const { queued, batch } = await queueBatch(context, upload, batchId, file);
    crashPoint('upload: batch queued');
    if (queued) return { batch, isRepeated: false };
    if (batch.state === 'receiving') throw partLost();
    // Another upload was first, or it was cancelled meanwhile.
    const stored = toRows(storedDigests(pool, mine), byBytes);
    await compare(context, batch, upload, { rows: stored, sha256: () => file.sha256 });
    await dropUpload(pool, mine);
    return { batch, isRepeated: true };
  } catch (error) {
    // What is being stored would come after its removal.
    await store.giveUp();
    // What is left is removed with the uploads that were broken off.
    await dropUpload(pool, mine).catch(() => undefined);
    throw error;
  }
}

type ComparedRow = Pick<StoredRow, 'row' | 'digest' | 'isMalformed'> & {
  /** It is the same row only in a file of the same bytes: its key follows from them, or nobody can read what it says. */
  readonly isByBytes: boolean;
};

async function* storedRows(
  { sender: { companyId }, operation, format }: Upload,
  { operations, uploadLimits }: Pick<ApiContext, 'operations' | 'uploadLimits'>,
  bytes: AsyncIterable<Buffer>,
): AsyncGenerator<StoredRow & ComparedRow> {
  for await (const row of rowsOfFile(bytes, { operation, operations, format }, uploadLimits)) {
    const stored = toStored(companyId, row, operation);
    yield { ...stored, isByBytes: stored.isMalformed || stored.key === null };
  }
}

/** `byBytes`: the first row that is the same only in a file of the same bytes; which others are does not matter. */
async function* toRows(
  digests: ReturnType<typeof storedDigests>,
  byBytes: number | undefined,
): AsyncGenerator<ComparedRow> {
  let row = 0;
  for await (const digest of digests) {
    row += 1;
    yield { row, digest, isMalformed: false, isByBytes: row === byBytes };
  }
}

/**
 * Throws `idempotency_key_reused` where it is another file, or other writes; and without a word about them, whatever the file is,
 * to those who may not read the batch. Throws `batch_state_conflict` where there is nothing to compare with.
 */
async function compare(
  { database, operations }: ApiContext,
  batch: BatchRow,
  { sender, operation, batchKey }: Upload,
  file: { readonly rows: AsyncIterable<ComparedRow>; sha256(): string },
): Promise<void> {
  const { upload_id: uploadId } = batch;
  if (!mayCompare(batch, sender, operations)) {
    throw new ApiProblem('idempotency_key_reused', {
      detail: `The key ${batchKey} belongs to another file. Send it with a key of its own.`,
    });
  }
  // Cancelled before any upload had ended.
  if (uploadId === null) {
    throw new ApiProblem('batch_state_conflict', {
      detail: `The key ${batchKey} was cancelled while its file was received, and writes nothing. Send the file with a new key.`,
    });
  }
  const differs = (row: number | undefined, message: string, part: ProblemPointer['in'] = 'body') =>
    new ApiProblem('idempotency_key_reused', {
      detail: `The key ${batchKey} belongs to another file${row === undefined ? '' : `; row ${row} is the first that differs`}. Send it with a key of its own.`,
      errors: [{ in: part, pointer: '', message, ...(row === undefined ? {} : { row }) }],
    });
  if ((operation?.name ?? null) !== batch.operation) {
    throw differs(1, `The operation of the batch is ${batch.operation ?? 'that of each row'}.`, 'operation');
  }
  const { companyId } = sender;
  const stored = storedDigests(database.reads, { companyId, batchId: batch.id, uploadId });
  let byBytes: number | undefined;
  let reworded: number | undefined;
  let count = 0;
  for await (const { row, digest, isMalformed, isByBytes } of file.rows) {
    count = row;
    const next = await stored.next();
    if (next.done) throw differs(reworded ?? row, `The file of the batch has ${batch.row_count} rows.`);
    if (!digest.equals(next.value)) {
      // What is wrong with it, another release may have said in other words: the bytes decide.
      if (!isMalformed) throw differs(reworded ?? row, ROW_DIFFERS);
      reworded ??= row;
    }
    if (isByBytes) byBytes ??= row;
  }
  if (count !== batch.row_count)
    throw differs(reworded ?? count + 1, `The file of the batch has ${batch.row_count} rows.`);
  if (byBytes === undefined || file.sha256() === batch.file_sha256) return;
  throw reworded === undefined ? differs(byBytes, BYTES_DIFFER) : differs(reworded, ROW_DIFFERS);
}

const ROW_DIFFERS = 'The row differs from that of the batch.';
const BYTES_DIFFER = 'Its key, or why it cannot be read, follows from the bytes of the file, which differ.';

async function beginBatch(context: ApiContext, upload: Upload, batchId: string): Promise<BatchRow> {
  const [batch] = await queryOnce<BatchRow>(
    context.database.reads,
    `SELECT ${batchColumns('b')} FROM begin_batch(p_company => $1, p_id => $2, p_key => $3, p_operation => $4, p_user => $5,
       p_request_id => $6, p_version => $7) AS b`,
    [
      upload.sender.companyId,
      batchId,
      upload.batchKey,
      upload.operation?.name ?? null,
      upload.sender.userId,
      upload.requestId,
      requireTrust(context.fence).version,
    ],
  );
  if (batch === undefined) throw new Error('Bug! A function returned no row');
  return batch;
}

async function queueBatch(
  context: ApiContext,
  upload: Upload,
  batchId: string,
  file: {
    readonly uploadId: string;
    readonly operations: readonly string[];
    readonly schemaVersions: readonly number[];
    readonly sha256: string;
    readonly rows: number;
    readonly chunks: number;
  },
): Promise<{ readonly queued: boolean; readonly batch: BatchRow }> {
  const sql = `SELECT q.queued, ${batchColumns('(q.batch)')} FROM queue_batch(p_company => $1, p_id => $2, p_upload => $3,
       p_operation => $4, p_operations => $5, p_sha256 => $6, p_rows => $7, p_chunks => $8, p_user => $9, p_request_id => $10, p_version => $11,
       p_schema_versions => $12) AS q`;
  const values = [
    upload.sender.companyId,
    batchId,
    file.uploadId,
    upload.operation?.name ?? null,
    file.operations,
    file.sha256,
    file.rows,
    file.chunks,
    upload.sender.userId,
    upload.requestId,
    requireTrust(context.fence).version,
    file.schemaVersions,
  ];
  // The answer says that the file is stored: a COMMIT that may be taken back is an error here.
  const [found] = await transaction(context.database.reads, (tx) =>
    tx.query<{ queued: boolean } & BatchRow>(sql, values),
  );
  if (found === undefined) throw partLost();
  return { queued: found.queued, batch: found };
}

/** This process was frozen for hours, so that others took it for gone; or the database was restored to before the upload. */
function partLost(): ApiProblem {
  return new ApiProblem('storage_unavailable', {
    detail: 'A part of the file was lost before all of it had come. Send it again with the same key.',
  });
}

async function dropUpload(
  pool: Pool,
  { companyId, batchId, uploadId }: { companyId: string; batchId: string; uploadId: string },
): Promise<void> {
  await transaction(pool, async (tx) => {
    await tx.query('SELECT enter_company($1)', [companyId]);
    // Whether they have become the batch's is known only once nobody is about to make them so, as a lost answer may be of that.
    await tx.query('SELECT FROM batches WHERE company_id = $1 AND id = $2 FOR UPDATE', [companyId, batchId]);
    await tx.query('DELETE FROM batch_chunks WHERE company_id = $1 AND batch_id = $2 AND upload_id = $3', [
      companyId,
      batchId,
      uploadId,
    ]);
  });
}
