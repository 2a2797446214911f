import type { FastifyReply } from 'fastify';
import type { AuditRow } from '../activities/audit.ts';
import type { Operation } from '../activities/operation.ts';
import { type ProblemPointer, writeUrl } from '../activities/problem.ts';
import { differences, isSameRequest, type RequestContent } from '../activities/same-request.ts';
import type { WriteRow } from '../activities/write-row.ts';
import type { Metrics } from '../worker/metrics.ts';
import type { AuditBatch } from './audit-batch.ts';
import { within } from './deferred.ts';
import type { FlightEnd } from './flights.ts';
import { ApiProblem, type ProblemCode, RETRY_AFTER_S } from './problems.ts';
import type { Deadline } from './submit.ts';

/** One request for a write, as its answers need it. */
export type WriteRequest = {
  readonly operation: Operation;
  readonly companyId: string;
  readonly userId: string;
  readonly key: string;
  /** The ID that this write has, or would have. */
  readonly writeId: string;
  readonly content: RequestContent;
  readonly request: { readonly id: string; readonly method: string; readonly path: string };
  readonly arrivedAtMs: number;
  readonly deadline: Deadline;
};

export type AnswerDependencies = {
  readonly operations: readonly Operation[];
  readonly audit: AuditBatch;
  readonly metrics: Metrics;
};

/**
 * Answers from the row, which alone decides: the stored status, bytes and `Location`, or 422 when the row is another
 * request's. `first`: this request opened the submission that made the outcome, so its answer carries no marker.
 */
export async function answerFromRow(
  reply: FastifyReply,
  row: WriteRow,
  asked: WriteRequest,
  first: boolean,
  dependencies: AnswerDependencies,
): Promise<FastifyReply> {
  if (row.outcome !== 'cancelled' && !isSameRequest(row, asked.content, dependencies.operations)) {
    const stored = { operation: row.operation ?? '', params: row.request?.params ?? {}, body: row.request?.body ?? {} };
    return refuseMismatch(asked, differences(stored, asked.content), dependencies);
  }
  const marked = !first || row.outcome === 'cancelled';
  if (marked) {
    await record(asked, 'replayed', undefined, dependencies, row.outcome !== 'cancelled');
    reply.header('idempotent-replayed', 'true');
  }
  countAnswer(asked, row, marked, dependencies.metrics);
  if (row.location !== null) reply.header('location', row.location);
  return reply
    .code(row.status_code)
    .type(row.outcome === 'succeeded' ? 'application/json; charset=utf-8' : 'application/problem+json; charset=utf-8')
    .send(row.response_body);
}

/** Answers what a flight ended with. */
export async function answerEnd(
  reply: FastifyReply,
  end: FlightEnd,
  asked: WriteRequest,
  submissionId: string | undefined,
  dependencies: AnswerDependencies,
): Promise<FastifyReply> {
  switch (end.kind) {
    case 'row':
      return answerFromRow(reply, end.row, asked, end.row.submission_id === submissionId, dependencies);
    case 'mismatch':
      return refuseMismatch(asked, differencesInFlight(end, asked), dependencies);
    case 'problem':
      return refuse(end.code, asked, dependencies.metrics);
  }
}

/** Says why there is no outcome to answer with; throws the problem. */
export function refuse(code: ProblemCode, asked: WriteRequest, metrics: Metrics): never {
  const labels = { operation: asked.operation.name, type: asked.operation.type };
  if (code === 'write_record_missing') metrics.recordMissing.inc();
  // A failed run was counted by its worker; a write in progress is no failure.
  const counted = code !== 'write_failed' && code !== 'idempotency_in_progress';
  if (counted) metrics.failed.inc({ ...labels, error_type: 'unavailable' });
  throw new ApiProblem(code, {
    detail: DETAILS[code] ?? 'Send the same request with the same key again.',
    key: asked.key,
  });
}

/** 202: Temporal has the write, and it goes on without its client. */
export function accepted(reply: FastifyReply, body: object, key: string): FastifyReply {
  return reply.code(202).header('location', writeUrl(key)).header('retry-after', RETRY_AFTER_S).send(body);
}

const DETAILS: Partial<Record<ProblemCode, string>> = {
  overloaded: 'The write was not started. Send it again with the same key after Retry-After.',
  orchestrator_unavailable:
    'Temporal did not confirm the start in time. This says nothing about the outcome; send it again with the same key.',
  storage_unavailable: 'The database did not answer in time. Send it again with the same key.',
  write_record_missing:
    'Temporal says that this write is done, and its record is not in the database. Operators are alerted; do not send it again under another key before they have answered.',
  outcome_unknown:
    'The run of this write ended without proof of what became of it. Send it again with the same key: it will not happen twice.',
  write_failed: 'The run of this write failed and left nothing. Send it again with the same key.',
  idempotency_in_progress: 'A write with this key is in progress. Wait, then send it again or read its status.',
};

async function refuseMismatch(
  asked: WriteRequest,
  pointers: readonly ProblemPointer[],
  dependencies: AnswerDependencies,
): Promise<never> {
  const { metrics } = dependencies;
  await record(asked, 'failed', 'idempotency_key_reused', dependencies);
  const labels = { operation: asked.operation.name, type: asked.operation.type };
  metrics.writes.inc({ ...labels, status: 'failed' });
  metrics.failed.inc({ ...labels, error_type: 'mismatch' });
  throw new ApiProblem('idempotency_key_reused', {
    detail: 'This key was used for another request, which is untouched. Use a new key for a new write.',
    differences: pointers,
    key: asked.key,
  });
}

function differencesInFlight(end: FlightEnd & { kind: 'mismatch' }, asked: WriteRequest): readonly ProblemPointer[] {
  if (end.other === undefined) return [];
  return differences({ operation: end.other.operation, ...end.other.input }, asked.content);
}

function countAnswer(asked: WriteRequest, row: WriteRow, marked: boolean, metrics: Metrics): void {
  const known = row.outcome !== 'cancelled';
  const labels = {
    operation: known ? asked.operation.name : 'unknown',
    type: known ? asked.operation.type : 'unknown',
  };
  if (marked) {
    metrics.writes.inc({ ...labels, status: 'replayed' });
    metrics.replayed.inc(labels);
  }
  metrics.duration.observe({ ...labels, answer: marked ? 'replay' : 'first' }, performance.now() - asked.arrivedAtMs);
}

/** The answer waits for its audit row, but not for a database that is frozen. */
async function record(
  asked: WriteRequest,
  status: 'replayed' | 'failed',
  errorCode: string | undefined,
  { audit, metrics }: AnswerDependencies,
  ofWrite = true,
): Promise<void> {
  const row = auditRow(asked, status, errorCode);
  const recorded = audit.record(ofWrite ? row : { ...row, ...OF_NO_WRITE }).then(() => true);
  const inTime = await within(recorded, Math.max(MIN_AUDIT_MS, asked.deadline.answerByMs - performance.now()));
  if (inTime === undefined) refuse('storage_unavailable', asked, metrics);
}

/** A cancelled key knows of no write: it answers each request alike, and is counted so, whatever was asked for. */
const OF_NO_WRITE = { operation_name: 'unknown', operation_type: 'unknown', deterministic_id: null } as const;

/** An outcome that comes at the very end of the wait still gets its audit row. */
const MIN_AUDIT_MS = 500;

function auditRow(asked: WriteRequest, status: 'replayed' | 'failed', errorCode: string | undefined): AuditRow {
  return {
    company_id: asked.companyId,
    operation_name: asked.operation.name,
    operation_type: asked.operation.type,
    deterministic_id: asked.writeId,
    idempotency_key: asked.key,
    user_id: asked.userId,
    status,
    error_code: errorCode ?? null,
    error_message: null,
    execution_duration_ms: performance.now() - asked.arrivedAtMs,
    request_id: asked.request.id,
    route_path: asked.request.path,
    http_method: asked.request.method,
  };
}
