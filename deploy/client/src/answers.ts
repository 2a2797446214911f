import type { Problem, Write } from './generated/types.ts';
import type { Answer } from './http.ts';
import { formatKey } from './keys.ts';

export type Verdict = 'final' | 'accepted' | 'pending' | 'again';

/**
 * What an answer means for its request. `again`: the same request, with the same key, may get another answer. `accepted`: the
 * write is running. `pending`: it waits for people to approve it, which may take days. `final`: repeating the request can never get another or a better answer.
 *
 * Only what the service has said can be final, accepted or pending. Whatever stands between may answer in its place, with any status and
 * any body, whether the service has had the request or not: that says nothing of the write.
 *
 * @param key of the request if it is a write: the service repeats it with each answer about the write, which tells that from
 *   the answer to another request as well
 */
export function verdictOf(answer: Answer, key?: string): Verdict {
  const isAboutWrite = key === undefined || answer.key === formatKey(key);
  const isOfAnother = answer.key !== undefined && !isAboutWrite;
  if (answer.status === 202) {
    if (key === undefined || !isAboutWrite || resourceOf(answer) === undefined) return 'again';
    return pendingWriteOf(answer) === undefined ? 'accepted' : 'pending';
  }
  const problem = problemOf(answer);
  if (problem === undefined) return isSuccess(answer) && isAboutWrite && resourceOf(answer) ? 'final' : 'again';
  if (isRetryable(problem) || isOfAnother || NOT_AS_IT_WAS_SENT.has(problem.code)) return 'again';
  return isStored(problem) && !isAboutWrite ? 'again' : 'final';
}

/** Of a write: nothing is stored as its outcome until people have decided, or its time is over. */
export const PENDING_APPROVAL: string = 'pending_approval';

/** The client sends whole requests: these tell of one that has been changed or cut on its way. */
const NOT_AS_IT_WAS_SENT: ReadonlySet<string> = new Set(['malformed_request', 'malformed_json']);

/** Whether the answer is the outcome of the write: a success, or a no that is stored under the key. */
export function tellsOutcome(answer: Answer): boolean {
  if (isSuccess(answer)) return resourceOf(answer) !== undefined;
  const problem = problemOf(answer);
  return problem !== undefined && isStored(problem) && !isRetryable(problem);
}

/** A request that was refused before it became a write stored nothing, and its answer names the request. */
function isStored({ requestId }: Problem): boolean {
  return requestId === undefined;
}

/** The resource that a success carries; undefined if it has none, because the service has not given it. */
export function resourceOf({ contentType, text }: Answer): object | undefined {
  return contentType !== undefined && /^application\/json\b/i.test(contentType) ? objectIn(text) : undefined;
}

/** The write of an answer that says that it waits for its approval; undefined for any other answer. */
export function pendingWriteOf(answer: Answer): Write | undefined {
  const write = answer.status === 202 ? (resourceOf(answer) as Partial<Write> | undefined) : undefined;
  return write?.state === PENDING_APPROVAL ? (write as Write) : undefined;
}

/** The problem (RFC 9457) that the service has answered; undefined if it is not one, for example one that a gateway has made. */
export function problemOf(answer: Answer): Problem | undefined {
  if (answer.contentType === undefined || !/^application\/problem\+json\b/i.test(answer.contentType)) return undefined;
  const body = objectIn(answer.text) as Partial<Problem> | undefined;
  const isOurs =
    body?.status === answer.status &&
    typeof body.code === 'string' &&
    typeof body.detail === 'string' &&
    typeof body.retryable === 'boolean' &&
    typeof body.nextAction === 'string';
  return isOurs ? (body as Problem) : undefined;
}

/** `503 overloaded`: the label under which an answer is counted, whoever has given it. */
export function labelOf({ status, text }: Answer): string {
  const { code } = (objectIn(text) ?? {}) as { readonly code?: unknown };
  return status < 400 || typeof code !== 'string' ? String(status) : `${status} ${code}`;
}

export function isSuccess({ status }: Answer): boolean {
  return status === 200 || status === 201;
}

/** The JSON object that a text is; undefined for anything else. */
export function objectIn(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** By the next action too, whose values a later release may add to. */
function isRetryable({ retryable, nextAction }: Problem): boolean {
  return retryable === true || nextAction === 'retry_same_key' || nextAction === 'wait';
}
