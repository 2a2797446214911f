import { type NextAction, type Problem, type ProblemPointer, problemType, writeUrl } from '../../activities/problem.ts';

/**
 * The one table from the API's error codes to status, title and next step. Each operation declares its own rejections;
 * reads answer `<resource>_not_found` by {@link notFound}.
 */
export const PROBLEMS = {
  unauthenticated: row(401, 'The request is not authenticated', 'fix_request'),
  authentication_unavailable: row(503, 'Tokens cannot be checked', 'retry_same_key'),
  not_a_member: row(403, 'You are not a member of this company', 'fix_request'),
  forbidden: row(403, 'Your role does not allow this', 'fix_request'),
  route_not_found: row(404, 'There is no such route', 'fix_request'),
  method_not_allowed: row(405, 'The route does not support this method', 'fix_request'),
  write_not_found: row(404, 'There is no such write', 'retry_same_key'),
  malformed_request: row(400, 'The request cannot be read', 'fix_request'),
  request_timeout: row(408, 'The request did not arrive in time', 'retry_same_key'),
  headers_too_large: row(431, 'The headers are larger than 16 KiB', 'fix_request'),
  malformed_json: row(400, 'The body is not valid JSON', 'fix_request'),
  idempotency_key_missing: row(400, 'The Idempotency-Key header is missing', 'fix_request'),
  idempotency_key_invalid: row(400, 'The Idempotency-Key header is malformed', 'fix_request'),
  body_too_large: row(413, 'The body is too large', 'fix_request'),
  unsupported_media_type: row(415, 'The media type of the body is not supported', 'fix_request'),
  validation_failed: row(422, 'The request does not match the schema', 'fix_request'),
  idempotency_key_reused: row(422, 'The key belongs to another request', 'use_new_key'),
  idempotency_in_progress: row(409, 'The write is in progress', 'wait'),
  rate_limited: row(429, 'The company has sent too many requests', 'retry_same_key'),
  too_many_failed_sign_ins: row(429, 'Too many tokens from this address were refused', 'retry_same_key'),
  overloaded: row(503, 'The service is overloaded', 'retry_same_key'),
  orchestrator_unavailable: row(503, 'Temporal cannot be reached', 'retry_same_key'),
  storage_unavailable: row(503, 'The database cannot be reached', 'retry_same_key'),
  write_record_missing: row(500, 'The record of this write is missing', 'none'),
  outcome_unknown: row(503, 'The outcome is unknown', 'retry_same_key'),
  write_failed: row(500, 'The write failed and was rolled back', 'retry_same_key'),
  internal_error: row(500, 'Internal error', 'retry_same_key'),
  write_cancelled: row(409, 'The key was cancelled', 'use_new_key'),
  too_late: row(409, 'The write already has its outcome', 'none'),
  approval_not_pending: row(409, 'Nothing waits for an approval under this key', 'none'),
  already_decided: row(409, 'You have decided otherwise before', 'none'),
  approver_is_requester: row(403, 'Someone else has to approve it', 'none'),
  approval_rejected: row(409, 'The write was not approved', 'use_new_key'),
  approval_expired: row(409, 'The write was not approved in time', 'use_new_key'),
  proof_not_ready: row(409, 'There is no proof yet', 'wait'),
  batch_state_conflict: row(409, 'The batch is in another state', 'none'),
  webhook_not_available: row(409, 'No webhook can be called', 'fix_request'),
} as const satisfies Record<string, ProblemKind>;

export type ProblemCode = keyof typeof PROBLEMS;
export type ProblemKind = {
  readonly status: number;
  readonly title: string;
  readonly retryable: boolean;
  readonly nextAction: NextAction;
};

export type ProblemDetails = {
  readonly detail: string;
  readonly errors?: readonly ProblemPointer[];
  readonly differences?: readonly ProblemPointer[];
  /** The key whose status resource the problem links to. */
  readonly idempotencyKey?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Why a token was refused; no client is told of it. The claims only of one that is signed: others can say anything. */
  readonly refusedToken?: { readonly reason: string; readonly claims: Readonly<Record<string, unknown>> | undefined };
};

/** Thrown anywhere below a route; the one error handler answers it. */
export class ApiProblem extends Error {
  readonly code: string;
  readonly kind: ProblemKind;
  readonly details: ProblemDetails;

  constructor(code: ProblemCode, details: ProblemDetails, kind: ProblemKind = PROBLEMS[code]) {
    super(details.detail);
    this.name = 'ApiProblem';
    this.code = code;
    this.kind = kind;
    this.details = details;
  }
}

/** The 404 of a read: one code per resource, such as `invoice_not_found`. */
export function notFound(resource: string, detail: string): ApiProblem {
  const kind = { status: 404, title: 'There is no such resource', retryable: false, nextAction: 'none' } as const;
  return new ApiProblem(`${resource}_not_found` as ProblemCode, { detail }, kind);
}

export function problemBody(problem: ApiProblem, instance: string, requestId: string | undefined): Problem {
  const { kind, code, details } = problem;
  return {
    type: problemType(code),
    title: kind.title,
    status: kind.status,
    detail: details.detail,
    instance,
    code,
    retryable: kind.retryable,
    nextAction: kind.nextAction,
    ...(requestId === undefined ? {} : { requestId }),
    ...(details.errors === undefined ? {} : { errors: details.errors }),
    ...(details.differences === undefined ? {} : { differences: details.differences }),
    ...(details.idempotencyKey === undefined ? {} : { writeUrl: writeUrl(details.idempotencyKey) }),
  };
}

/** On every 429, 503 and 409 that says to wait; seconds. */
export const RETRY_AFTER_S = 1;

export function needsRetryAfter(code: string, status: number): boolean {
  return status === 429 || status === 503 || code === 'idempotency_in_progress' || code === 'proof_not_ready';
}

function row(status: number, title: string, nextAction: NextAction): ProblemKind {
  return { status, title, nextAction, retryable: nextAction === 'retry_same_key' || nextAction === 'wait' };
}
