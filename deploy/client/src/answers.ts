import type { Problem } from './generated/types.ts';
import type { Answer } from './http.ts';

/**
 * What an answer means for its request. `again`: the same request, with the same key, may get another answer. `accepted`: the
 * write is running. `final`: repeating the request can never get another or a better answer.
 */
export type Verdict = 'final' | 'accepted' | 'again';

export function verdictOf(answer: Answer): Verdict {
  if (answer.status === 202) return 'accepted';
  const problem = problemOf(answer);
  if (problem !== undefined) return isRetryable(problem) ? 'again' : 'final';
  // Not from the service. A proxy's 502, 503 or 504 says nothing about the write, and nor does half of an answer.
  const saysNothing = answer.status >= 500 || TRY_LATER.has(answer.status) || isBrokenJson(answer);
  return saysNothing ? 'again' : 'final';
}

/** Whether the answer is the outcome of the write: a success, or a no that is stored under the key. */
export function tellsOutcome(answer: Answer): boolean {
  if (isSuccess(answer)) return objectIn(answer.text) !== undefined;
  const problem = problemOf(answer);
  // A request that was refused before the write stored nothing; a stored answer differs from it in having no request ID.
  return problem !== undefined && problem.requestId === undefined && verdictOf(answer) === 'final';
}

/** The problem (RFC 9457) that an answer carries; undefined if it has none, for example because a proxy gave it. */
export function problemOf(answer: Answer): Problem | undefined {
  if (answer.status < 400) return undefined;
  const body = objectIn(answer.text) as Partial<Problem> | undefined;
  return typeof body?.code === 'string' ? (body as Problem) : undefined;
}

/** `503 overloaded`: the label under which an answer is counted. */
export function labelOf(answer: Answer): string {
  const code = problemOf(answer)?.code;
  return code === undefined ? String(answer.status) : `${answer.status} ${code}`;
}

export function isSuccess({ status }: Answer): boolean {
  return status === 200 || status === 201;
}

/** The JSON object that a text is; undefined for anything else. */
export function objectIn(text: string): object | undefined {
  const value = parsed(text);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
}

/** From a proxy, these mean "try again later" (RFC 9110, 8470 and 6585). */
const TRY_LATER = new Set([408, 425, 429]);

/** By the next action too, whose values a later release may add to. */
function isRetryable({ retryable, nextAction }: Problem): boolean {
  return retryable === true || nextAction === 'retry_same_key' || nextAction === 'wait';
}

/** Half of an answer in a frame that is whole: a proxy has lost the rest. */
function isBrokenJson({ contentType, text }: Answer): boolean {
  return contentType !== undefined && /\bjson\b/i.test(contentType) && parsed(text) === undefined;
}

/** Undefined for what is not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
