import type { FastifyReply } from 'fastify';
import { type Approval, isApproved } from '../../activities/approvals/approval.ts';
import type { AuditRow } from '../../activities/audit/record-rows.ts';
import { crashPoint } from '../../activities/crash-points.ts';
import { isStorageUnavailable } from '../../activities/failures.ts';
import type { Operation } from '../../activities/operation.ts';
import { type ProblemPointer, writeUrl } from '../../activities/problem.ts';
import { auditRowOf, OF_NO_WRITE } from '../../activities/write/audit-row.ts';
import {
  differences,
  isSameRequest,
  type RequestContent,
  recordedDifferences,
} from '../../activities/write/compare-requests.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import type { Metrics } from '../../worker/metrics.ts';
import { withTimeout } from '../../worker/timeouts.ts';
import type { ApiContext } from '../context.ts';
import { ApiProblem, type ProblemCode, RETRY_AFTER_S } from '../http/problems.ts';
import type { SubmissionEnd } from '../submit/submission.ts';
import type { Deadline } from '../submit/submit.ts';
import { STORAGE_RETRY } from '../submit/verified.ts';
import { awaitOutcome } from './await-outcome.ts';
import { pendingWrite } from './pending.ts';
import { lostAnswer } from './run-of-key.ts';

/** What answering a request for a write needs to know about it. */
export type WriteRequest = {
  readonly operation: Operation;
  readonly companyId: string;
  readonly userId: string;
  readonly roles: readonly string[];
  readonly idempotencyKey: string;
  /** The ID that this write has, or would have. */
  readonly writeId: string;
  readonly content: RequestContent;
  readonly request: { readonly id: string; readonly method: string; readonly path: string };
  /** The address of the client. */
  readonly address: string;
  readonly arrivedAtMs: number;
  readonly deadline: Deadline;
};

/**
 * Answers from the row, which alone decides: with the stored status, bytes and `Location`, or with 422 when the row belongs
 * to another request. The row of a lost write has no answer to replay: whatever body is sent, it is told that the record is
 * missing. `first`: this request opened the submission that made the outcome, so its answer carries no marker.
 */
export async function answerFromRow(
  reply: FastifyReply,
  known: WriteRow,
  writeRequest: WriteRequest,
  first: boolean,
  context: ApiContext,
): Promise<FastifyReply> {
  const row = await rowOfNow(known, writeRequest, context);
  if (row.outcome === 'lost') return refuse('write_record_missing', writeRequest, context.metrics);
  context.fence.witnesses.note(row);
  if (row.outcome !== 'cancelled' && !isSameRequest(row, writeRequest.content, context.operations)) {
    const { params = {}, body = {}, erased = [] } = row.request ?? {};
    const stored = { operation: row.operation ?? '', params, body, erased };
    return refuseMismatch(writeRequest, differences(stored, writeRequest.content), context);
  }
  if (row.status_code === 403) recordRefusal(writeRequest, row, context);
  const marked = !first || row.submission_id !== known.submission_id || row.outcome === 'cancelled';
  if (marked) {
    await record(writeRequest, 'replayed', undefined, context, row.outcome === 'cancelled' ? OF_NO_WRITE : {});
    reply.header('idempotent-replayed', 'true');
  }
  countAnswer(writeRequest, row, marked, context.metrics);
  if (row.location !== null) reply.header('location', row.location);
  crashPoint('answer: before');
  return reply
    .code(row.status_code)
    .type(row.outcome === 'succeeded' ? 'application/json; charset=utf-8' : 'application/problem+json; charset=utf-8')
    .send(row.response_body);
}

/**
 * A process that stood still may hold the row of a server that is gone: it looks the row up again before it answers with
 * it. Another one may have made the write meanwhile, whose row is answered.
 */
async function rowOfNow(known: WriteRow, writeRequest: WriteRequest, context: ApiContext): Promise<WriteRow> {
  if (context.fence.isAwake) return known;
  const { companyId, idempotencyKey } = writeRequest;
  const row = await context.lookups.findRow(companyId, idempotencyKey).catch((error: unknown) => {
    if (isStorageUnavailable(error)) return refuse('storage_unavailable', writeRequest, context.metrics);
    throw error;
  });
  return row ?? refuse('outcome_unknown', writeRequest, context.metrics);
}

/** Answers with what the submission ended with. */
export async function answerEnd(
  reply: FastifyReply,
  end: SubmissionEnd,
  writeRequest: WriteRequest,
  submissionId: string | undefined,
  context: ApiContext,
): Promise<FastifyReply> {
  switch (end.kind) {
    case 'row':
      return answerFromRow(reply, end.row, writeRequest, end.row.submission_id === submissionId, context);
    case 'approval':
      return answerPending(reply, end.approval, writeRequest, submissionId, context);
    case 'mismatch':
      return refuseMismatch(writeRequest, differencesFromRunning(end, writeRequest), context);
    case 'problem':
      return refuse(end.code, writeRequest, context.metrics);
  }
}

/**
 * Answers 202 for a write that waits for its approval; a client that asks to wait is answered with the outcome if it comes
 * meanwhile. One that has been approved is answered as any write that is running. Another request under the key is refused as ever.
 */
export async function answerPending(
  reply: FastifyReply,
  approval: Approval,
  writeRequest: WriteRequest,
  submissionId: string | undefined,
  context: ApiContext,
): Promise<FastifyReply> {
  const { companyId, userId, roles, idempotencyKey, content, deadline } = writeRequest;
  const lost = await lostAnswer(context, companyId, idempotencyKey);
  if (lost !== undefined) return refuse(lost, writeRequest, context.metrics);
  const { operation, input, fingerprint, schemaVersion } = approval.arguments;
  const stored = { operation, fingerprint, request: { ...input }, schema_version: schemaVersion };
  if (!isSameRequest(stored, content, context.operations)) {
    return refuseMismatch(writeRequest, differences({ operation, ...input }, content), context);
  }
  if ((deadline.asksToWait || isApproved(approval)) && performance.now() < deadline.waitUntilMs) {
    const hasWaited = await context.statusWaits.ifFree(companyId, () =>
      withTimeout(
        awaitOutcome(context, companyId, { key: idempotencyKey }, deadline.waitUntilMs),
        deadline.waitUntilMs - performance.now(),
      ),
    );
    if (!hasWaited) takeWaitBack(reply);
  }
  const now = await outcomeInTime(writeRequest, context);
  if (now.row !== undefined) {
    return answerFromRow(reply, now.row, writeRequest, now.row.submission_id === submissionId, context);
  }
  const waiting = now.approval ?? approval;
  const isDuplicate = submissionId === undefined;
  if (isApproved(waiting) && deadline.strict && isDuplicate) {
    return refuse('idempotency_in_progress', writeRequest, context.metrics);
  }
  const write = pendingWrite(waiting, { ...context, reader: { companyId, userId, roles } });
  return accepted(reply, write, idempotencyKey, isApproved(waiting) ? RETRY_AFTER_S : PENDING_RETRY_AFTER_S);
}

/** As many of the company wait as may, so that `wait` is not among the preferences that were applied. */
function takeWaitBack(reply: FastifyReply): void {
  const applied = String(reply.getHeader('preference-applied') ?? '').split(', ');
  const others = applied.filter((preference) => preference !== '' && !preference.startsWith('wait='));
  if (others.length > 0) reply.header('preference-applied', others.join(', '));
  else reply.removeHeader('preference-applied');
}

/** As the answer's audit row: a database that froze while the client waited must not hold the answer up. */
async function outcomeInTime(writeRequest: WriteRequest, context: ApiContext) {
  const { companyId, idempotencyKey, deadline } = writeRequest;
  const leftMs = Math.max(MIN_AUDIT_MS, deadline.answerByMs - performance.now());
  const found = await withTimeout(context.lookups.findOutcome(companyId, idempotencyKey), leftMs).catch(
    (error: unknown) => {
      if (isStorageUnavailable(error)) return undefined;
      throw error;
    },
  );
  return found ?? refuse('storage_unavailable', writeRequest, context.metrics);
}

/** People decide: no client learns more by asking more often. */
const PENDING_RETRY_AFTER_S = 60;

/** Throws the problem that says why there is no outcome to answer with. */
export function refuse(code: ProblemCode, writeRequest: WriteRequest, metrics: Metrics): never {
  const labels = { operation: writeRequest.operation.name, type: writeRequest.operation.type };
  if (code === 'write_record_missing') metrics.recordMissing.inc();
  // The worker has already counted a failed run, and a write in progress is not a failure.
  const counted = code !== 'write_failed' && code !== 'idempotency_in_progress';
  if (counted) metrics.failed.inc({ ...labels, error_type: 'unavailable' });
  throw new ApiProblem(code, {
    detail: DETAILS[code] ?? 'Send the same request with the same key again.',
    idempotencyKey: writeRequest.idempotencyKey,
    ...(code === 'storage_unavailable' ? { headers: STORAGE_RETRY } : {}),
  });
}

/** 202: Temporal has the write, which finishes without its client. */
export function accepted(
  reply: FastifyReply,
  body: object,
  idempotencyKey: string,
  retryAfterS: number = RETRY_AFTER_S,
): FastifyReply {
  return reply.code(202).header('location', writeUrl(idempotencyKey)).header('retry-after', retryAfterS).send(body);
}

const DETAILS: Partial<Record<ProblemCode, string>> = {
  overloaded:
    'The write was not started, and this request will not start it. Send the request again with the same key after the pause in Retry-After.',
  orchestrator_unavailable:
    'Temporal did not confirm the start in time. The outcome is unknown. Send the request again with the same key.',
  storage_unavailable:
    'The database did not answer in time, or has not been verified since it came back. Send the request again with the same key.',
  write_record_missing:
    'Temporal has accepted this write, but the database has lost its record. Operators are alerted. Do not send the request with another key before they have answered.',
  outcome_unknown:
    'Nothing proves yet whether the write was or will be committed. Send the request again with the same key: the write will not happen twice.',
  write_failed: 'The run of this write failed and was rolled back. Send the request again with the same key.',
  idempotency_in_progress: 'A write with this key is running. Wait, then send the request again or read its status.',
};

async function refuseMismatch(
  writeRequest: WriteRequest,
  pointers: readonly ProblemPointer[],
  context: ApiContext,
): Promise<never> {
  const { metrics } = context;
  const recorded = recordedDifferences(writeRequest.operation, pointers);
  await record(writeRequest, 'failed', 'idempotency_key_reused', context, { metadata: { differences: recorded } });
  const labels = { operation: writeRequest.operation.name, type: writeRequest.operation.type };
  metrics.writes.inc({ ...labels, status: 'failed' });
  metrics.failed.inc({ ...labels, error_type: 'mismatch' });
  throw new ApiProblem('idempotency_key_reused', {
    detail: 'The key belongs to another request, whose write is unchanged. Use a new key for a new write.',
    differences: pointers,
    idempotencyKey: writeRequest.idempotencyKey,
  });
}

function differencesFromRunning(
  end: SubmissionEnd & { kind: 'mismatch' },
  writeRequest: WriteRequest,
): readonly ProblemPointer[] {
  if (end.other === undefined) return [];
  return differences({ operation: end.other.operation, ...end.other.input }, writeRequest.content);
}

function countAnswer(writeRequest: WriteRequest, row: WriteRow, marked: boolean, metrics: Metrics): void {
  const known = row.outcome !== 'cancelled';
  const labels = {
    operation: known ? writeRequest.operation.name : 'unknown',
    type: known ? writeRequest.operation.type : 'unknown',
  };
  if (marked) {
    metrics.writes.inc({ ...labels, status: 'replayed' });
    metrics.replayed.inc(labels);
  }
  metrics.duration.observe(
    { ...labels, answer: marked ? 'replay' : 'first' },
    performance.now() - writeRequest.arrivedAtMs,
  );
}

/** A refusal that is the outcome of a write. Its code is in the stored body alone. */
function recordRefusal(writeRequest: WriteRequest, row: WriteRow, { security }: ApiContext): void {
  const { companyId, userId, operation, request, address } = writeRequest;
  const { code } = JSON.parse(row.response_body.toString()) as { code: string };
  security.record({
    event: 'access_refused',
    reason: code,
    companyId,
    userId,
    address,
    action: `${operation.method} ${operation.path}`,
    requestId: request.id,
  });
}

/** Writes the audit row, for which the answer waits, within its deadline: a frozen database must not hold it up. */
async function record(
  writeRequest: WriteRequest,
  status: 'replayed' | 'failed',
  errorCode: string | undefined,
  { audit, metrics }: ApiContext,
  members: Partial<AuditRow> = {},
): Promise<void> {
  const row = auditRow(writeRequest, status, errorCode);
  const recorded = audit.record({ ...row, ...members }).then(() => true);
  const inTime = await withTimeout(
    recorded,
    Math.max(MIN_AUDIT_MS, writeRequest.deadline.answerByMs - performance.now()),
  );
  if (inTime === undefined) refuse('storage_unavailable', writeRequest, metrics);
}

/** Leaves time for the audit row of an outcome that arrives just before the deadline. */
const MIN_AUDIT_MS = 500;

function auditRow(writeRequest: WriteRequest, status: AuditRow['status'], errorCode: string | undefined): AuditRow {
  const { companyId, operation, idempotencyKey: key, userId, request, writeId } = writeRequest;
  return auditRowOf(
    { companyId, operation: operation.name, key, actor: { userId }, request },
    { type: operation.type, writeId },
    {
      status,
      error_code: errorCode ?? null,
      error_message: null,
      execution_duration_ms: performance.now() - writeRequest.arrivedAtMs,
    },
  );
}
