import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type BatchRow, batchColumns } from '../../activities/batches/batch-row.ts';
import { noteWoken } from '../../activities/batches/batch-store.ts';
import { batchIdOf } from '../../activities/batches/identity.ts';
import type { Tx } from '../../activities/database.ts';
import { isStorageUnavailable } from '../../activities/failures.ts';
import type { Operation } from '../../activities/operation.ts';
import { problemPointers } from '../../activities/problem-pointers.ts';
import type { UploadEnd } from '../../worker/metrics.ts';
import { TemporalUnavailable } from '../../worker/temporal-unavailable.ts';
import type { ApiContext } from '../context.ts';
import { preferredType } from '../http/accept.ts';
import { readPreferences } from '../http/preferences.ts';
import { ApiProblem, notFound } from '../http/problems.ts';
import { enforceRateLimit } from '../http/rate-limit.ts';
import { refuseBody } from '../http/validation.ts';
import type { Reader } from '../reads/read.ts';
import { inReadTransaction } from '../reads/read-transaction.ts';
import { sourceOf } from '../security/refusals.ts';
import type { LookedUp } from '../submit/lookup.ts';
import { requireVerified } from '../submit/verified.ts';
import { formatKey, readIdempotencyKey } from '../writes/idempotency-key.ts';
import { keyOf } from '../writes/status.ts';
import { eventsOfResults, mayControlBatch, mayReadBatch, mayReadResults, maySendFile } from './access.ts';
import { readBytes, readMedia, refuseLength } from './body.ts';
import { controlBatch } from './control.ts';
import { type BatchError, type BatchResource, readErrors, toBatch } from './resource.ts';
import { readResults } from './results.ts';
import { toCsv, toNdjson } from './results-text.ts';
import { receiveFile } from './upload.ts';
import { countingEnd } from './upload-end.ts';
import { validateFile } from './validate.ts';

const READ_LIMIT_MS = 5_000;
const LOOK_AGAIN_MS = 500;
/** Completed; or cancelled, and what was begun of it has ended. */
const isOver = ({ completed_at: completedAt }: BatchRow) => completedAt !== null;

/** The routes of batches: files of writes. */
export async function registerBatches(app: FastifyInstance, context: ApiContext): Promise<void> {
  await app.register(async (files) => {
    files.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    files.post<{ Querystring: unknown }>('/api/batches', { config: { takesFile: true } }, (request, reply) =>
      answerUpload(context, request, reply),
    );
  });
  app.get<{ Params: { key: string } }>('/api/batches/:key', (request, reply) => answerStatus(context, request, reply));
  app.get<{ Params: { key: string } }>('/api/batches/:key/results', (request, reply) =>
    answerResults(context, request, reply),
  );
  for (const action of ['pause', 'resume', 'cancel', 'retry-failed'] as const) {
    app.post<{ Params: { key: string } }>(`/api/batches/:key/${action}`, async (request, reply) => {
      refuseBody(request.body);
      enforceRateLimit(context.newWrites, request.caller);
      const { batch, reader } = await findBatch(context, request);
      if (!mayControlBatch(batch, reader, context.operations)) {
        throw new ApiProblem('forbidden', {
          detail: 'Only who has sent the batch, with the roles of its operations, an owner or an admin may do this.',
        });
      }
      const changed = await controlBatch(context, batch, action);
      if (action === 'resume' || action === 'retry-failed') await wake(context, request, changed);
      return reply.send(await describe(context, request, changed));
    });
  }
}

const uploadQuery = z.strictObject({
  operation: z.string().optional(),
  validateOnly: z.enum(['true', 'false']).optional(),
});

async function answerUpload(context: ApiContext, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const query = parseQuery(uploadQuery, request.query);
  const format = readMedia(request);
  refuseLength(request, context.uploadLimits);
  const isCheck = query.validateOnly === 'true';
  const batchKey = isCheck ? undefined : readIdempotencyKey(request.raw.rawHeaders);
  if (batchKey !== undefined) {
    request.idempotencyKey = batchKey;
    reply.header('idempotency-key', formatKey(batchKey));
  }
  const operation = operationOf(context, query.operation);
  if (operation === undefined && format === 'csv') {
    throw invalidQuery('/operation', 'must name the operation of the rows: the file is CSV');
  }
  const { caller } = request;
  const reader = await inReadTransaction(
    { database: context.database, caller, limitMs: READ_LIMIT_MS },
    async (_tx, found) => found,
  );
  if (!maySendFile(reader, operation, context.operations)) {
    throw new ApiProblem('forbidden', {
      detail:
        operation === undefined
          ? 'None of your roles allows any operation.'
          : `${operation.name} needs one of the roles ${operation.roles.join(', ')}.`,
    });
  }
  enforceRateLimit(context.newWrites, caller);
  const file = { operation, format, bytes: readBytes(request, context.uploadLimits) };
  const upload = <T>(work: () => Promise<T>, endOf: (done: T) => UploadEnd) =>
    context.uploads.within(caller.companyId, () => countingEnd(context.metrics, work, endOf));
  if (batchKey === undefined) {
    return reply.send(
      await upload(
        () => validateFile(context, file),
        () => 'checked',
      ),
    );
  }
  const from = { sender: reader, requestId: request.id, batchKey };
  const { batch, isRepeated } = await upload(
    () => receiveFile(context, { ...from, ...file }),
    ({ isRepeated: isKnown }) => (isKnown ? 'repeated' : 'stored'),
  );
  if (!isRepeated || batch.state === 'queued') await wake(context, request, batch);
  if (isRepeated) reply.header('idempotent-replayed', 'true');
  return reply
    .code(202)
    .header('location', `/api/batches/${encodeURIComponent(batchKey)}`)
    .send(await describe(context, request, batch));
}

function operationOf({ operations }: ApiContext, name: string | undefined): Operation | undefined {
  if (name === undefined) return undefined;
  const operation = operations.find((one) => one.name === name);
  if (operation === undefined) throw invalidQuery('/operation', 'must be the name of an operation');
  return operation;
}

/** Whatever becomes of the start, the batch is stored: the worker starts what nobody has started. */
async function wake({ batches, database }: ApiContext, { log }: FastifyRequest, batch: BatchRow): Promise<void> {
  const { company_id: companyId, id: batchId, batch_key: batchKey, operation } = batch;
  try {
    await batches.wake({ companyId, batchKey, operation });
    await noteWoken(database.reads, { companyId, batchId });
  } catch (error) {
    if (error instanceof TemporalUnavailable || isStorageUnavailable(error)) return;
    log.error({ err: error }, 'The workflow of a batch could not be started');
  }
}

async function answerStatus(
  context: ApiContext,
  request: FastifyRequest<{ Params: { key: string } }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  enforceRateLimit(context.replays, request.caller);
  const { applied, waitMs } = readPreferences(request.headers['prefer']);
  const waits = applied?.includes('wait=') === true && waitMs > 0;
  if (waits) reply.header('preference-applied', `wait=${waitMs / 1_000}`);
  const deadline = performance.now() + waitMs;
  const read = () =>
    readBatch(context, request, (tx, reader, batch) => errorsShown(tx, batch, reader, context.operations));
  let standing = await read();
  if (waits && !isOver(standing.batch)) {
    await context.statusWaits.within(request.caller.companyId, async () => {
      while (performance.now() < deadline && !request.raw.socket.destroyed) {
        await sleep(Math.min(LOOK_AGAIN_MS, Math.max(0, deadline - performance.now())));
        const { batch } = await findBatch(context, request);
        if (isOver(batch)) return;
      }
    });
    standing = await read();
  }
  return reply.send(tell(context, request, standing.batch, standing.found));
}

const resultsQuery = z.strictObject({
  cursor: z
    .string()
    .regex(/^\d{1,7}$/, 'must be the cursor of a `Link` header')
    .transform(Number)
    .optional(),
  limit: z
    .string()
    .regex(/^\d{1,4}$/, 'must be a number from 1 to 1000')
    .transform(Number)
    .pipe(z.int().min(1).max(1_000))
    .default(1_000),
});

async function answerResults(
  context: ApiContext,
  request: FastifyRequest<{ Params: { key: string } }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  enforceRateLimit(context.replays, request.caller);
  const { cursor: after = 0, limit } = parseQuery(resultsQuery, request.query);
  const key = keyOf(request.params.key);
  const { batch, found: rows } = await readBatch(context, request, async (tx, reader, batch) => {
    if (!mayReadResults(batch, reader, context.operations)) {
      throw new ApiProblem('forbidden', {
        detail: 'Reading the results needs the roles of the operations of the batch.',
      });
    }
    return readResults(tx, batch, { after, limit }, context.operations);
  });
  if (rows.some(({ resource, problem }) => resource !== null || problem !== null))
    recordReader(context, request, batch);
  const last = rows.at(-1)?.row ?? after;
  if (last < (batch.row_count ?? 0)) {
    reply.header('link', `</api/batches/${encodeURIComponent(key)}/results?cursor=${last}&limit=${limit}>; rel="next"`);
  }
  const type = preferredType(request.headers.accept, ['application/x-ndjson', 'text/csv']);
  reply.header('vary', 'Accept');
  return type === 'text/csv'
    ? reply.type('text/csv; charset=utf-8').send(toCsv(rows, { header: after === 0 }))
    : reply.type(type).send(toNdjson(rows));
}

/** Results, and the first errors, hold what rows were answered with: they are as confidential as reads of the resources. */
function recordReader({ security, operations }: ApiContext, request: FastifyRequest, batch: BatchRow): void {
  for (const event of eventsOfResults(batch, operations)) {
    const details = { batch: batch.batch_key };
    security.record({ event, reason: 'batch', ...request.caller, ...sourceOf(request), details });
  }
}

type BatchRequest = FastifyRequest<{ Params: { key: string } }>;

async function findBatch(
  context: ApiContext,
  request: BatchRequest,
): Promise<{ readonly batch: BatchRow; readonly reader: Reader }> {
  const { batch, found } = await readBatch(context, request, async (_tx, reader) => reader);
  return { batch, reader: found };
}

/**
 * Reads the batch that the path names, and more of it in the same transaction. Throws `batch_not_found`, with the same words for
 * one that is not there and for one that the caller may not read.
 */
async function readBatch<T>(
  context: ApiContext,
  request: BatchRequest,
  work: (tx: Tx, reader: Reader, batch: BatchRow) => Promise<T>,
): Promise<{ readonly batch: BatchRow; readonly found: T }> {
  const key = keyOf(request.params.key);
  const { database, operations } = context;
  const read = await inReadTransaction<{ batch: BatchRow; found: T } | { missing: LookedUp }>(
    { database, caller: request.caller, limitMs: READ_LIMIT_MS },
    async (tx, reader, missing) => {
      const [batch] = await tx.query<BatchRow>(
        `SELECT ${batchColumns('batches')} FROM batches WHERE company_id = current_company() AND id = $1`,
        [batchIdOf(reader.companyId, key)],
      );
      if (batch === undefined || !mayReadBatch(batch, reader, operations)) return { missing };
      return { batch, found: await work(tx, reader, batch) };
    },
  );
  if (!('missing' in read)) return read;
  // A batch that is missing may have been lost with the database that had it.
  await requireVerified(context, read.missing);
  throw notFound('batch', `There is no batch with the key ${key}. It is safe to send the file with this key.`);
}

async function describe(context: ApiContext, request: FastifyRequest, batch: BatchRow): Promise<BatchResource> {
  const { database, operations } = context;
  const errors = await inReadTransaction({ database, caller: request.caller, limitMs: READ_LIMIT_MS }, (tx, reader) =>
    errorsShown(tx, batch, reader, operations),
  );
  return tell(context, request, batch, errors);
}

/** The first errors say what rows were answered with: only to those who may read that. */
async function errorsShown(
  tx: Tx,
  batch: BatchRow,
  reader: Reader,
  operations: readonly Operation[],
): Promise<readonly BatchError[]> {
  return mayReadResults(batch, reader, operations) ? readErrors(tx, batch, operations) : [];
}

function tell(
  context: ApiContext,
  request: FastifyRequest,
  batch: BatchRow,
  errors: readonly BatchError[],
): BatchResource {
  if (errors.length > 0) recordReader(context, request, batch);
  return toBatch(batch, errors, context.ui);
}

function parseQuery<Q extends z.ZodObject>(schema: Q, query: unknown): z.output<Q> {
  const parsed = schema.safeParse(query);
  if (parsed.success) return parsed.data;
  throw new ApiProblem('validation_failed', {
    detail: 'The query does not match the schema; errors[] names each parameter.',
    errors: problemPointers('query', parsed.error),
  });
}

function invalidQuery(pointer: string, message: string): ApiProblem {
  return new ApiProblem('validation_failed', {
    detail: `The query parameter ${pointer.slice(1)} ${message}.`,
    errors: [{ in: 'query', pointer, message }],
  });
}
