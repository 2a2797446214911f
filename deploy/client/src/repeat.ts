import { labelOf, problemOf, tellsOutcome, type Verdict } from './answers.ts';
import type { Circuit } from './circuit.ts';
import { errorText } from './error-text.ts';
import type { Answer, Http, HttpRequest } from './http.ts';
import { pauseMs, sleep } from './pause.ts';
import { limitTime, unlessAborted } from './time-limit.ts';
import type { Token } from './token.ts';

/** A request that may be sent any number of times: a read, or a write under its key. */
export type Repeatable = Omit<HttpRequest, 'token' | 'signal' | 'attempt'> & { readonly token: string | Token };

export type RepeatOptions = {
  /** When to give up, in milliseconds from now; a request that has no answer then is cut off. */
  readonly deadlineMs: number;
  /** Gives up at once when it is aborted. */
  readonly signal?: AbortSignal | undefined;
  readonly circuit?: Circuit | undefined;
  /** When to give up, in milliseconds from the first request without a usable answer. */
  readonly giveUpAfterMs?: number | undefined;
  readonly onRepeat?: ((repeat: Repeat) => void) | undefined;
  /** How often it can be sent, if not any number of times. */
  readonly most?: number | undefined;
};

/** A request without a usable answer, which is about to be sent again. */
export type Repeat = {
  readonly method: string;
  readonly path: string;
  /** How often the call has tried before. */
  readonly attempts: number;
  /** Such as `503 overloaded`, or `connect ECONNREFUSED 127.0.0.1:3000`. */
  readonly reason: string;
  readonly pauseMs: number;
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
  /** Before the final answer, there was a request that may have made the write. */
  readonly mayHaveHappened: boolean;
  /** Why the last request without an answer had none. */
  readonly lastError: unknown;
};

type Rules = {
  verdictOf(answer: Answer): Verdict;
  /** Told of each request without an answer; ends the call if it throws. */
  onNoAnswer?(): void;
  /** Follows what was accepted until it is worth asking for the answer again, or the signal is aborted. */
  afterAccepted?(signal: AbortSignal): Promise<void>;
  /** A write that waits for its approval is followed, as one that is running; otherwise that is the end of the call. */
  readonly waitsForApproval?: boolean | undefined;
};

/** Sends the request again until an answer is final: after `Retry-After` or growing pauses, with another token after a 401. */
export async function repeatUntilFinal(
  http: Http,
  request: Repeatable,
  { deadlineMs, giveUpAfterMs, onRepeat, signal: outer, circuit, most = Number.POSITIVE_INFINITY }: RepeatOptions,
  rules: Rules,
): Promise<Repeated> {
  const deadline = performance.now() + deadlineMs;
  let patienceEnds: number | undefined;
  const { signal, end } = limitTime(deadlineMs, outer);
  const onTheWay: Record<string, number> = {};
  const refusedTokens = new Set<string>();
  const so = { requests: 0, acknowledged: false, mayHaveHappened: false, lastError: undefined as unknown };
  const repeated = (final?: Answer): Repeated => ({ final, onTheWay, ...so });
  let attempts = 0;
  /** What is known at last, where the time is over before people have decided. */
  let pending: Answer | undefined;

  try {
    while (!signal.aborted) {
      attempts += 1;
      const { token, answer, error } = await attempt(http, request, { attempts, circuit, signal });
      if (token !== undefined) so.requests += 1;
      const said = answer === undefined ? 'again' : rules.verdictOf(answer);
      if (answer !== undefined && said === 'pending' && !rules.waitsForApproval) {
        so.acknowledged = true;
        return repeated(answer);
      }
      if (said !== 'again') pending = said === 'pending' ? answer : undefined;
      const verdict = said === 'pending' ? 'accepted' : said;
      if (answer !== undefined && verdict === 'final' && !canRenew(request, token, refusedTokens, answer)) {
        so.acknowledged ||= tellsOutcome(answer);
        return repeated(answer);
      }
      if (answer === undefined) so.lastError = error;
      if (answer === undefined) rules.onNoAnswer?.();
      count(onTheWay, answer === undefined ? (token === undefined ? 'not sent' : 'no answer') : labelOf(answer));
      so.acknowledged ||= verdict === 'accepted';
      so.mayHaveHappened ||= token !== undefined && !isBeforeTheWrite(answer);
      if (answer !== undefined) refuseToken(request, token, refusedTokens, answer);
      if (so.requests >= most) break;
      if (verdict === 'final') continue;
      if (verdict === 'accepted') patienceEnds = undefined;
      else patienceEnds ??= performance.now() + (giveUpAfterMs ?? Number.POSITIVE_INFINITY);
      if (verdict === 'accepted' && rules.afterAccepted !== undefined) {
        await rules.afterAccepted(signal);
        // The status and the answer may be of two processes that do not know the same yet.
        if (onTheWay['202'] === 1) continue;
      }
      const pause = pauseMs(attempts, answer?.retryAfterMs);
      if (performance.now() + pause > Math.min(deadline, patienceEnds ?? deadline)) break;
      const reason = answer === undefined ? errorText(error) : labelOf(answer);
      if (verdict === 'again' && !signal.aborted) tell(onRepeat, request, { attempts, reason, pauseMs: pause });
      await sleep(pause, signal);
    }
    return repeated(pending);
  } finally {
    end();
  }
}

/** Whatever a log does, the call goes on. */
function tell(
  onRepeat: RepeatOptions['onRepeat'],
  { method, path }: Repeatable,
  about: Omit<Repeat, 'method' | 'path'>,
): void {
  try {
    onRepeat?.({ method, path, ...about });
  } catch {
    // It has been told.
  }
}

export async function tokenFor({ token }: Repeatable): Promise<string> {
  return typeof token === 'string' ? token : token.get();
}

export function count(counts: Record<string, number>, label: string, by = 1): void {
  counts[label] = (counts[label] ?? 0) + by;
}

type Attempt = {
  readonly attempts: number;
  readonly circuit: Circuit | undefined;
  readonly signal: AbortSignal;
};

/** Never rejects, and ends with the signal, whatever it waits for. Without a token, nothing was sent. */
async function attempt(
  http: Http,
  request: Repeatable,
  { attempts, circuit, signal }: Attempt,
): Promise<{ readonly token?: string; readonly answer?: Answer; readonly error?: unknown }> {
  let token: string;
  try {
    token = await unlessAborted(tokenFor(request), signal);
    if (circuit !== undefined && !(await circuit.admit(signal))) return { error: signal.reason };
  } catch (error) {
    return { error };
  }
  try {
    const answer = await unlessAborted(http.send({ ...request, token, signal, attempt: attempts }), signal);
    circuit?.report(answer.status >= 502 && answer.status <= 504 ? 'failed' : 'answered');
    return { token, answer };
  } catch (error) {
    circuit?.report(signal.aborted ? 'given up' : 'failed');
    return { token, error };
  }
}

/** The answers which say that this very request has not begun the write and never will. */
const BEFORE_THE_WRITE: ReadonlySet<string> = new Set([
  ...['rate_limited', 'overloaded', 'unauthenticated', 'authentication_unavailable', 'too_many_failed_sign_ins'],
]);

function isBeforeTheWrite(answer: Answer | undefined): boolean {
  const code = answer === undefined ? undefined : problemOf(answer)?.code;
  return code !== undefined && BEFORE_THE_WRITE.has(code);
}

/** Of one call: a source that gives a new token each time, and never one that is good, would be asked without end. */
const MOST_REFUSED_TOKENS = 2;

/** The token has ended meanwhile, and there may be another one. False once this very token was refused twice. */
function canRenew({ token: source }: Repeatable, token: string | undefined, refused: Set<string>, { status }: Answer) {
  if (status !== 401 || typeof source === 'string' || token === undefined) return false;
  if (refused.has(token) || refused.size >= MOST_REFUSED_TOKENS) return false;
  refused.add(token);
  source.refuse(token);
  return true;
}

/**
 * Not a valid token either, though the answer does not end the call: the service's 429 comes instead of a 401 where too many
 * tokens were refused, and a gateway may refuse a token itself. A valid one is accepted at any time.
 */
function refuseToken(
  { token: source }: Repeatable,
  token: string | undefined,
  refused: Set<string>,
  answer: Answer,
): void {
  const isRefused = answer.status === 401 || problemOf(answer)?.code === 'too_many_failed_sign_ins';
  if (!isRefused || typeof source === 'string' || token === undefined || refused.size >= MOST_REFUSED_TOKENS) return;
  refused.add(token);
  source.refuse(token);
}
