import { labelOf, problemOf, tellsOutcome, type Verdict } from './answers.ts';
import type { Circuit } from './circuit.ts';
import type { Answer, Http, HttpRequest } from './http.ts';
import { pauseMs, sleep } from './pause.ts';
import { limitTime } from './time-limit.ts';
import type { Token } from './token.ts';

/** A request that may be sent any number of times: a read, or a write under its key. */
export type Repeatable = Omit<HttpRequest, 'token' | 'signal' | 'attempt'> & { readonly token: string | Token };

export type RepeatOptions = {
  /** When to give up, in milliseconds from now; a request that has no answer then is cut off. */
  readonly deadlineMs: number;
  /** Gives up at once when it is aborted. */
  readonly signal?: AbortSignal | undefined;
  readonly circuit?: Circuit | undefined;
};

export type Repeated = {
  /** The final answer; undefined if there was none in time. */
  readonly final: Answer | undefined;
  /** How often the request was sent. */
  readonly requests: number;
  /** All answers that were not final, counted by status and code; `no answer` for a failed connection. */
  readonly onTheWay: Readonly<Record<string, number>>;
  /** An answer said that the write is accepted or gave its outcome, so the write must exist from then on. */
  readonly acknowledged: boolean;
  /** Why the last request without an answer had none. */
  readonly lastError: unknown;
};

type Rules = {
  verdictOf(answer: Answer): Verdict;
  /** Follows what was accepted until it is worth asking for the answer again, or the signal is aborted. */
  afterAccepted?(signal: AbortSignal): Promise<void>;
};

/** Sends the request again until an answer is final: after `Retry-After` or growing pauses, with another token after a 401. */
export async function repeatUntilFinal(
  http: Http,
  request: Repeatable,
  { deadlineMs, signal: outer, circuit }: RepeatOptions,
  rules: Rules,
): Promise<Repeated> {
  const deadline = performance.now() + deadlineMs;
  const { signal, end } = limitTime(deadlineMs, outer);
  const onTheWay: Record<string, number> = {};
  const refusedTokens = new Set<string>();
  let acknowledged = false;
  let attempts = 0;
  let requests = 0;
  let lastError: unknown;
  const repeated = (final?: Answer): Repeated => ({ final, requests, onTheWay, acknowledged, lastError });

  try {
    while (!signal.aborted) {
      if (circuit !== undefined && !(await circuit.admit(signal))) break;
      attempts += 1;
      const { answer, token, error } = await send(http, request, { attempt: attempts, signal });
      if (token !== undefined) requests += 1;
      circuit?.report(endOf(answer, signal));
      const verdict = answer === undefined ? 'again' : rules.verdictOf(answer);
      if (answer !== undefined && verdict === 'final' && !canRenew(request, token, refusedTokens, answer)) {
        acknowledged ||= tellsOutcome(answer);
        return repeated(answer);
      }
      if (answer === undefined) lastError = error;
      count(onTheWay, answer === undefined ? (token === undefined ? 'no token' : 'no answer') : labelOf(answer));
      acknowledged ||= verdict === 'accepted';
      if (answer !== undefined) refuseLimited(request, token, answer);
      const pause = verdict === 'final' ? 0 : pauseMs(attempts, answer?.retryAfterMs);
      if (performance.now() + pause > deadline) break;
      if (verdict === 'accepted' && rules.afterAccepted !== undefined) await rules.afterAccepted(signal);
      else await sleep(pause, signal);
    }
    return repeated();
  } finally {
    end();
  }
}

export async function tokenFor({ token }: Repeatable): Promise<string> {
  return typeof token === 'string' ? token : token.get();
}

export function count(counts: Record<string, number>, label: string, by = 1): void {
  counts[label] = (counts[label] ?? 0) + by;
}

/** Never rejects. Without a token, nothing was sent. */
async function send(
  http: Http,
  request: Repeatable,
  { attempt, signal }: { readonly attempt: number; readonly signal: AbortSignal | undefined },
): Promise<{ readonly token?: string; readonly answer?: Answer; readonly error?: unknown }> {
  let token: string;
  try {
    token = await tokenFor(request);
  } catch (error) {
    return { error };
  }
  try {
    return { token, answer: await http.send({ ...request, token, signal, attempt }) };
  } catch (error) {
    return { token, error };
  }
}

/** The token has ended meanwhile, and there may be another one. False once this very token was refused twice. */
function canRenew({ token: source }: Repeatable, token: string | undefined, refused: Set<string>, { status }: Answer) {
  if (status !== 401 || typeof source === 'string' || token === undefined || refused.has(token)) return false;
  refused.add(token);
  source.refuse(token);
  return true;
}

/** Not a valid token either: one is accepted at any time. The answer comes instead of a 401 where too many were refused. */
function refuseLimited({ token: source }: Repeatable, token: string | undefined, answer: Answer): void {
  const isLimited = problemOf(answer)?.code === 'too_many_failed_sign_ins';
  if (isLimited && typeof source !== 'string' && token !== undefined) source.refuse(token);
}

/** Failed: no answer, or a 502, 503 or 504, the service's own ones included. Given up: the caller did not wait for it. */
function endOf(answer: Answer | undefined, signal: AbortSignal): 'answered' | 'failed' | 'given up' {
  if (answer === undefined) return signal.aborted ? 'given up' : 'failed';
  return answer.status >= 502 && answer.status <= 504 ? 'failed' : 'answered';
}
