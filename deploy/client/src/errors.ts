import type { Problem, RejectionCodes, Write } from './generated/types.ts';
import type { Outcome } from './outcome.ts';

/**
 * What the client throws. Which of them says what is known of the write: stored as its outcome ({@link RejectedError},
 * {@link CancelledError}), nothing stored ({@link RefusedError}), waiting for people ({@link ApprovalPendingError}), or not known ({@link UnknownOutcomeError},
 * {@link LostWriteError}).
 */
export class AccuBooksError extends Error {
  override readonly name: string = 'AccuBooksError';
  /** Of the write; undefined for a read. */
  readonly idempotencyKey: string | undefined;
  /** The HTTP status of the answer; undefined without one. */
  readonly status: number | undefined;
  /** `X-Request-Id` of the answer: quote it to support. */
  readonly requestId: string | undefined;
  /** The answer's body (RFC 9457); undefined without an answer. */
  readonly problem: Problem | undefined;

  constructor(message: string, { cause, idempotencyKey, status, requestId, problem }: ErrorDetails) {
    super(message, cause === undefined ? undefined : { cause });
    this.idempotencyKey = idempotencyKey;
    this.status = status;
    this.requestId = requestId ?? problem?.requestId;
    this.problem = problem;
  }

  /** The problem's code, such as `payment_exceeds_outstanding`. */
  get code(): string | undefined {
    return this.problem?.code;
  }
}

/** A business rule refuses the write, and that is its stored outcome: another attempt needs a new key. */
export class RejectedError extends AccuBooksError {
  override readonly name = 'RejectedError';
  declare readonly problem: Problem;
  /** The operation that refuses, such as `createPayment`. */
  readonly operation: string;
  /** Whether an earlier request had made this outcome. */
  readonly replayed: boolean;

  constructor(message: string, details: ErrorDetails & { readonly operation: string; readonly replayed: boolean }) {
    super(message, details);
    this.operation = details.operation;
    this.replayed = details.replayed;
  }
}

/** The key was cancelled, and that is its stored outcome. */
export class CancelledError extends AccuBooksError {
  override readonly name = 'CancelledError';
  declare readonly problem: Problem;
}

/**
 * The request was refused, and this call has stored nothing: correct it and use the same key, unless the code is
 * `idempotency_key_reused`, where the key belongs to another request. An earlier call with the key may have made the write.
 * Also thrown by reads, and by a cancel that came too late.
 */
export class RefusedError extends AccuBooksError {
  override readonly name = 'RefusedError';
  declare readonly problem: Problem;
}

/**
 * The write waits for its approval: a policy of the company has matched it. Nothing has failed, and nothing is to be sent again
 * for it: it is executed once enough people have approved it, rejected by one, or expires. The same request with the same key,
 * or `writes.resolve(key)`, tells what has become of it; `orPending()` of the write returns it instead.
 */
export class ApprovalPendingError extends AccuBooksError {
  override readonly name = 'ApprovalPendingError';
  /** As the service tells it: the decisions so far, how many are needed, until when. */
  readonly write: Write;

  constructor(message: string, { write, ...details }: ErrorDetails & { readonly write: Write }) {
    super(message, details);
    this.write = write;
  }
}

/** The service has lost its record of the write (`write_record_missing`). Ask its operators; do not use a new key. */
export class LostWriteError extends AccuBooksError {
  override readonly name = 'LostWriteError';
}

/**
 * There was no final answer before the deadline or the abort. The write may have happened, may still happen, or may never
 * have arrived: send the same request with the same key again, or ask with `writes.resolve(key)`. Never treat it as failed.
 */
export class UnknownOutcomeError extends AccuBooksError {
  override readonly name = 'UnknownOutcomeError';
  /** The service has accepted the write: it will have an outcome, with or without this client. */
  readonly acknowledged: boolean;
  /** How many requests were sent; with 0 the service has not seen the write from this call. */
  readonly requests: number;
  /** The answers that were not final, counted, such as `{"no answer": 2, "503 overloaded": 1}`. */
  readonly answers: Readonly<Record<string, number>>;

  constructor(
    message: string,
    details: ErrorDetails & Pick<UnknownOutcomeError, 'acknowledged' | 'requests' | 'answers'>,
  ) {
    super(message, details);
    this.acknowledged = details.acknowledged;
    this.requests = details.requests;
    this.answers = details.answers;
  }
}

/** A read, a cancel or a redelivery got no final answer before the deadline or the abort; it may be repeated. */
export class UnavailableError extends AccuBooksError {
  override readonly name = 'UnavailableError';
}

type ErrorDetails = {
  readonly cause?: unknown;
  readonly idempotencyKey?: string | undefined;
  readonly status?: number | undefined;
  readonly requestId?: string | undefined;
  readonly problem?: Problem | undefined;
};

/**
 * Whether this is a rejection by that operation; its `problem.code` is then one of the operation's codes.
 *
 * @example if (isRejection(error, 'createPayment') && error.problem.code === 'payment_exceeds_outstanding') …
 */
export function isRejection<Operation extends keyof RejectionCodes>(
  error: unknown,
  operation: Operation,
): error is RejectedError & { readonly problem: Problem & { readonly code: RejectionCodes[Operation] } } {
  return error instanceof RejectedError && error.operation === operation;
}

/** The error of an outcome that is not a success. */
export function errorOf(
  outcome: Exclude<Outcome<unknown>, { readonly state: 'succeeded' }>,
  { idempotencyKey, operation, cause }: { idempotencyKey: string; operation: string; cause?: unknown },
): AccuBooksError {
  if (outcome.state === 'unknown') {
    const { acknowledged, requests, onTheWay, refusal, lastError } = outcome;
    const refused = refusal && new RefusedError(problemText(refusal), { idempotencyKey, problem: refusal });
    return new UnknownOutcomeError(unknownText(outcome), {
      ...{ idempotencyKey, acknowledged, requests, answers: onTheWay, cause: cause ?? refused ?? lastError },
    });
  }
  if (outcome.state === 'pending_approval') {
    const { status, requestId, write } = outcome;
    return new ApprovalPendingError(PENDING, { idempotencyKey, status, requestId, write });
  }
  const { status, requestId, problem, replayed } = outcome;
  const details = { idempotencyKey, status, requestId, problem };
  if (outcome.state === 'lost') return new LostWriteError(LOST, details);
  const message = problemText(outcome.problem);
  if (outcome.state === 'rejected') return new RejectedError(message, { ...details, operation, replayed });
  if (outcome.state === 'cancelled') return new CancelledError(message, details);
  return new RefusedError(message, details);
}

const PENDING =
  'The write waits for its approval. It is executed once people have approved it; the same request with the same key tells.';
const LOST =
  'The service has lost the record of this write. Ask its operators what became of it; do not use a new key.';

/** `409 invoice_not_payable: The invoice is draft.`, with the members that are at fault. */
export function problemText(problem: Problem): string {
  const faults = (problem.errors ?? problem.differences ?? []).map(({ row, in: part, pointer, message }) =>
    [row === undefined ? '' : `row ${row}:`, part, pointer, message].filter(Boolean).join(' '),
  );
  return `${problem.status} ${problem.code}: ${problem.detail}${faults.length === 0 ? '' : ` (${faults.join('; ')})`}`;
}

function unknownText(outcome: Extract<Outcome, { readonly state: 'unknown' }>): string {
  const { acknowledged, requests, onTheWay, refusal } = outcome;
  if (requests === 0) return 'The write was not sent by this call.';
  const known = acknowledged ? 'The write was accepted but has no outcome yet' : 'The outcome of the write is unknown';
  const answers = textOfAnswers(onTheWay);
  if (refusal !== undefined) {
    return `${known} (${answers}), and the service no longer tells: ${problemText(refusal)}`;
  }
  return `${known}: no final answer in time (${answers}). Send it again with the same key.`;
}

/** `no answer × 2, 503 overloaded × 1`. Answers with a status alone were not those of the API. */
export function textOfAnswers(answers: Readonly<Record<string, number>>): string {
  const counted = Object.entries(answers).map(([label, times]) => `${label} × ${times}`);
  const foreign = Object.keys(answers).some((label) => /^(?!202)\d+$/.test(label));
  return `${counted.join(', ')}${foreign ? '; a status alone is not from the API: is baseUrl right?' : ''}`;
}
