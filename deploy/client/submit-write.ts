import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, type Http, labelOf, problemOf } from './http.ts';

/**
 * One write as a client should send it: the same key until there is a final answer. It repeats what the answer calls
 * repeatable (`nextAction`), after `Retry-After`; it repeats what got no answer at all; a 202 it follows by the status
 * resource. All of that is safe because the key makes it one write.
 */
export type Write = {
  readonly method: 'POST' | 'PATCH';
  readonly path: string;
  readonly token: string;
  readonly key: string;
  /** JSON as it goes over the line. */
  readonly body: string;
  /** RFC 7240, such as `respond-async`: how long each request for it is to wait. */
  readonly prefer?: string;
};

export type Submitted = {
  /** The final answer; undefined when the time was over before there was one. */
  readonly final: Answer | undefined;
  /** Requests for the write itself. */
  readonly requests: number;
  /** Every answer that was not final, by status and code; `no answer` for a connection that failed. */
  readonly onTheWay: Readonly<Record<string, number>>;
  /** Some answer said that the write is accepted, or told its outcome: from then on it must be there. */
  readonly acknowledged: boolean;
};

const MAX_REQUESTS = 1_000;
/** Between tries where no `Retry-After` says how long, doubled each time. */
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;
/** Between the status, where that could not be had, and the request itself. */
const BREATH_MS = 1_000;
/** Whoever says so without being the service (a proxy does) means: not now. RFC 9110, 8470 and 6585. */
const NOT_NOW = [408, 425, 429];
const STATUS_WAIT_S = 10;
const MAX_STATUS_POLLS = 1_000;

export async function submitWrite(http: Http, write: Write, { giveUpAfterMs }: { giveUpAfterMs: number }) {
  const deadline = Date.now() + giveUpAfterMs;
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
    if (Date.now() + pauseMs > deadline) return submitted();
    if (answer?.status === 202) {
      await untilSettled(http, write, answer, deadline);
    } else {
      await sleep(pauseMs);
    }
  }
  return submitted();
}

/** Final: the same request will be answered so for ever, or can never be answered better as it is. */
function isFinal(answer: Answer): boolean {
  if (answer.status === 202) return false;
  const problem = problemOf(answer);
  if (problem !== undefined) return problem.nextAction !== 'retry_same_key' && problem.nextAction !== 'wait';
  // Not a word of the service's: a proxy's 502, 503 or 504 says nothing of the write.
  return answer.status < 500 && !NOT_NOW.includes(answer.status);
}

/**
 * A success or a stored rejection. What was refused at the door left nothing that could be missing; a stored body is told
 * from it by having no request ID.
 */
export function tellsOutcome(answer: Answer): boolean {
  if (answer.status === 200 || answer.status === 201) return true;
  return problemOf(answer) !== undefined && !answer.text.includes('"requestId":') && isFinal(answer);
}

/** Waits at the status resource; then the same request again gets the answer itself, by a replay. */
async function untilSettled(http: Http, write: Write, accepted: Answer, deadline: number): Promise<void> {
  const path = accepted.location ?? `/api/writes/${encodeURIComponent(write.key)}`;
  for (let poll = 0; poll < MAX_STATUS_POLLS && Date.now() < deadline; poll += 1) {
    const status = await http
      .send({ method: 'GET', path, token: write.token, prefer: `wait=${STATUS_WAIT_S}` })
      .catch(() => undefined);
    if (status === undefined || status.status !== 200 || !isRunning(status.text)) {
      // Settled, or not to be learnt here: the write's own answer tells. A breath, for the case that it does not.
      if (status?.status !== 200) await sleep(BREATH_MS);
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
