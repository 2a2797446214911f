import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isKey } from '../../activities/identity.ts';
import { withTimeout } from '../../worker/timeouts.ts';
import type { ApiContext } from '../context.ts';
import type { Caller } from '../http/auth.ts';
import { readPreferences } from '../http/preferences.ts';
import { ApiProblem } from '../http/problems.ts';
import { enforceRateLimit } from '../http/rate-limit.ts';
import { invalidPart } from '../http/validation.ts';
import { eventOf } from '../reads/confidential.ts';
import { inReadTransaction } from '../reads/read-transaction.ts';
import { sourceOf } from '../security/refusals.ts';
import type { Membership } from '../submit/lookup.ts';
import { requireVerified } from '../submit/verified.ts';
import { mayReadWrite, shownIn } from './access.ts';
import { awaitOutcome } from './await-outcome.ts';
import type { WriteResource } from './resource.ts';
import { describeInTime, lostAnswer } from './run-of-key.ts';
import { readRunStory } from './run-story.ts';
import { type Describer, describeFromRecord, nobodysKey, type RecordStory } from './story.ts';

/** With Temporal or the database frozen, a status is answered within the client's wait plus about this. */
export const STATUS_LIMIT_MS = 2_000;

/** `GET /api/writes/{key}`: the status of a write; with `Prefer: wait=N`, as soon as it has its outcome. */
export function registerWriteStatus(app: FastifyInstance, context: ApiContext): void {
  app.get<{ Params: { key: string } }>('/api/writes/:key', async (request, reply) => {
    enforceRateLimit(context.replays, request.caller);
    const key = keyOf(request.params.key);
    const waitMs = readWait(request.headers['prefer']);
    if (waitMs > 0) reply.header('preference-applied', `wait=${waitMs / 1000}`);
    const write = await waitForOutcome(context, request.caller, key, waitMs);
    if (write === undefined) throw writeNotFound(key);
    recordReader(context, request, write);
    return reply.send(write);
  });
}

/** A status holds what the write answered or asks for, so that it is as confidential as a read of the resource. */
export function recordReader(context: ApiContext, request: FastifyRequest, write: WriteResource): void {
  const shows = shownIn(write, context.operations);
  if (shows === undefined) return;
  context.security.record({
    event: eventOf(shows),
    reason: 'write',
    ...request.caller,
    ...sourceOf(request),
    details: { key: write.key },
  });
}

/** Reads the key from a path, where it is neither quoted nor escaped. Throws `validation_failed`. */
export function keyOf(segment: string): string {
  if (isKey(segment)) return segment;
  throw invalidPart('path', '/key', 'must be an idempotency key: 1–255 printable ASCII characters');
}

/**
 * Describes a write from its row, else from its newest run, else from the audit log. Undefined when none of them has it,
 * or when the caller may not read it. Throws TemporalUnavailable when only Temporal could know and does not answer.
 * `before`: see {@link ReadRequest}.
 */
export function readWrite(
  context: ApiContext,
  caller: Caller,
  idempotencyKey: string,
  before?: Membership,
): Promise<WriteResource | undefined> {
  return describeWrite(context, caller, idempotencyKey, () => readRecord(context, caller, idempotencyKey, before));
}

/** What the database has of a key, and who reads it. */
export type DescribedRecord = RecordStory & { readonly describer: Describer };

/** The same from what `read` finds in the database, which may be asked twice. */
export async function describeWrite(
  context: ApiContext,
  { companyId }: Pick<Caller, 'companyId'>,
  idempotencyKey: string,
  read: () => Promise<DescribedRecord>,
): Promise<WriteResource | undefined> {
  const known = await read();
  if (known.hasRow && !known.isHidden) return known.write;
  if (known.isPending && !known.isHidden && known.write !== undefined) {
    return pendingStatus(context, companyId, known.write);
  }
  const run = await describeInTime(context, companyId, known.isHidden ? nobodysKey() : idempotencyKey);
  if (run === undefined) return known.write;
  const { audited, describer } = known;
  // Nothing more is asked about a run that the caller may not know of.
  if (run.memo === undefined || !mayReadWrite(run.memo, describer.reader, describer.operations)) return undefined;
  if (run.state !== 'running') {
    // Either the run closed after the first look for the row, or it has left no row. A second look decides.
    const now = await read();
    if (now.hasRow || now.isPending) return now.write;
    // A completed run without a row raises an alert.
    if (run.state === 'completed') context.metrics.recordMissing.inc();
  }
  const { runs } = context;
  return (await readRunStory({ runs, run, idempotencyKey, audited, describer, limitMs: STATUS_LIMIT_MS })).write;
}

async function readRecord(
  context: ApiContext,
  caller: Caller,
  idempotencyKey: string,
  before?: Membership,
): Promise<DescribedRecord> {
  const { database } = context;
  const request = { database, caller, idempotencyKey, before, limitMs: STATUS_LIMIT_MS };
  const { lookedUp, ...record } = await inReadTransaction(request, async (tx, reader, lookedUp) => {
    const describer = { ...context, reader };
    return { ...(await describeFromRecord(tx, idempotencyKey, lookedUp, describer)), describer, lookedUp };
  });
  await requireVerified(context, lookedUp);
  return record;
}

/** As it waits for its approval, unless what the database says of it is of before an answer that was lost. */
async function pendingStatus(context: ApiContext, companyId: string, write: WriteResource): Promise<WriteResource> {
  if ((await lostAnswer(context, companyId, write.key)) === undefined) return write;
  context.metrics.recordMissing.inc();
  return { ...write, state: 'unknown', expiresAt: null };
}

const IS_OPEN: ReadonlySet<WriteResource['state']> = new Set(['running', 'pending_approval']);

async function waitForOutcome(
  context: ApiContext,
  caller: Caller,
  idempotencyKey: string,
  waitMs: number,
): Promise<WriteResource | undefined> {
  const deadline = performance.now() + waitMs;
  const write = await readWrite(context, caller, idempotencyKey);
  if (write === undefined || !IS_OPEN.has(write.state) || waitMs === 0) return write;
  const run = { key: idempotencyKey, runId: write.workflow?.runId ?? undefined };
  await context.statusWaits.within(caller.companyId, () =>
    withTimeout(awaitOutcome(context, caller.companyId, run, deadline), deadline - performance.now()),
  );
  return readWrite(context, caller, idempotencyKey);
}

/** Unlike a write, a status waits only if the client asks for it. */
function readWait(header: string | readonly string[] | undefined): number {
  const { applied, waitMs } = readPreferences(header);
  return applied?.includes('wait=') ? waitMs : 0;
}

export function writeNotFound(idempotencyKey: string): ApiProblem {
  return new ApiProblem('write_not_found', {
    detail:
      'There is no write with this key. It is safe to send the request with this key. Cancelling the key makes sure that it never happens.',
    idempotencyKey,
  });
}
