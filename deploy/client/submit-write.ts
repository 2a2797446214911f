import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, type Http, labelOf, problemOf } from './http.ts';

/**
 * One write, sent as a client should send it: with the same key until there is a final answer. It retries when the answer
 * says so (`nextAction`), after `Retry-After`, and when there was no answer; after a 202 it polls the status resource. All of
 * this is safe because the key makes it one write.
 */
export type Write = {
  readonly method: 'POST' | 'PATCH';
  readonly path: string;
  readonly token: string;
  readonly key: string;
  /** JSON text, sent as it is. */
  readonly body: string;
  /** RFC 7240, such as `respond-async`: how long each request should wait. */
  readonly prefer?: string;
};

export type Submitted = {
  /** The final answer; undefined if there was none in time. */
  readonly final: Answer | undefined;
  /** Requests for the write itself, without status polls. */
  readonly requests: number;
  /** All answers that were not final, counted by status and code; `no answer` for a failed connection. */
  readonly onTheWay: Readonly<Record<string, number>>;
  /** An answer said that the write is accepted or gave its outcome, so the write must exist from then on. */
  readonly acknowledged: boolean;
};

const MAX_REQUESTS = 1_000;
/** The pause between attempts without a `Retry-After`, doubled each time. */
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;
/** The pause after a failed status poll, before the request is sent again. */
const STATUS_FAILED_PAUSE_MS = 1_000;
/** From a proxy, these mean "try again later" (RFC 9110, 8470 and 6585). */
const TRY_LATER = [408, 425, 429];
const STATUS_WAIT_S = 10;
const MAX_STATUS_POLLS = 1_000;

export async function submitWrite(http: Http, write: Write, { giveUpAfterMs }: { giveUpAfterMs: number }) {
  const deadline = performance.now() + giveUpAfterMs;
  const onTheWay: Record<string, number> = {};
  let acknowledged = false;
  let requests = 0;
  const submitted = (final?: Answer): Submitted => ({ final, requests, onTheWay, acknowledged });

  while (requests < MAX_REQUESTS) {
    requests += 1;
    const answer = await http.send(write).catch(() => undefined);
    if (answer !== undefined && isFinal(answer)) {
      acknowledged ||= tellsOutcome(answer);
      return submitted(answer);
    }
    count(onTheWay, answer === undefined ? 'no answer' : labelOf(answer));
    acknowledged ||= answer?.status === 202;
    const pauseMs = answer?.retryAfterMs ?? backoff(requests);
    if (performance.now() + pauseMs > deadline) return submitted();
    if (answer?.status === 202) {
      await untilSettled(http, write, answer, deadline);
    } else {
      await sleep(pauseMs);
    }
  }
  return submitted();
}

/** Final: repeating the same request can never get another or a better answer. */
function isFinal(answer: Answer): boolean {
  if (answer.status === 202) return false;
  const problem = problemOf(answer);
  if (problem !== undefined) return problem.nextAction !== 'retry_same_key' && problem.nextAction !== 'wait';
  // Not from the service: a proxy's 502, 503 or 504 says nothing about the write.
  return answer.status < 500 && !TRY_LATER.includes(answer.status);
}

/**
 * True for a success or a stored rejection. A request that was refused before the write stored nothing; a stored body
 * differs from it in having no request ID.
 */
export function tellsOutcome(answer: Answer): boolean {
  if (answer.status === 200 || answer.status === 201) return true;
  return problemOf(answer) !== undefined && !answer.text.includes('"requestId":') && isFinal(answer);
}

/** Polls the status resource until the write has an outcome; the next request then gets the answer itself as a replay. */
async function untilSettled(http: Http, write: Write, accepted: Answer, deadline: number): Promise<void> {
  const path = accepted.location ?? `/api/writes/${encodeURIComponent(write.key)}`;
  for (let poll = 0; poll < MAX_STATUS_POLLS && performance.now() < deadline; poll += 1) {
    const status = await http
      .send({ method: 'GET', path, token: write.token, prefer: `wait=${STATUS_WAIT_S}` })
      .catch(() => undefined);
    if (status === undefined || status.status !== 200 || !isRunning(status.text)) {
      // Settled, or the status is not available: send the write again. Pause first, in case that fails too.
      if (status?.status !== 200) await sleep(STATUS_FAILED_PAUSE_MS);
      return;
    }
  }
}

function isRunning(statusResource: string): boolean {
  try {
    return JSON.parse(statusResource).state === 'running';
  } catch {
    return false;
  }
}

function backoff(requests: number): number {
  return Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (requests - 1));
}

export function count(counts: Record<string, number>, label: string, by = 1): void {
  counts[label] = (counts[label] ?? 0) + by;
}
