import { isSuccess, objectIn, PENDING_APPROVAL, verdictOf } from './answers.ts';
import { type Answer, type Http, segment } from './http.ts';
import { pollPause, sleep } from './pause.ts';
import { type Repeatable, type Repeated, type RepeatOptions, repeatUntilFinal, tokenFor } from './repeat.ts';
import { unlessAborted } from './time-limit.ts';

/**
 * One write, sent as a client should send it: with the same key until there is a final answer. It retries when the answer
 * says so, after `Retry-After`, and when there was no answer; after a 202 it follows the write's status by long polls. All of
 * this is safe because the key makes it one write.
 */
export type Write = Repeatable & {
  readonly method: 'POST' | 'PATCH';
  readonly key: string;
  /** JSON text, sent as it is. */
  readonly body: string;
};

/** The outcome is unknown if there is no `final`: the same key may be sent again. */
export type Submitted = Repeated;

/** The pause after a status request that failed, before the write is sent again. */
const STATUS_FAILED_PAUSE_MS = 1_000;
const STATUS_WAIT_S = 10;

/** `waitsForApproval`: also while people have to approve it, until the deadline; otherwise that it waits is the final answer. */
export function submitWrite(
  http: Http,
  write: Write,
  { waitsForApproval, ...options }: RepeatOptions & { readonly waitsForApproval?: boolean | undefined },
): Promise<Submitted> {
  return repeatUntilFinal(http, write, options, {
    verdictOf: (answer) => verdictOf(answer, write.key),
    afterAccepted: (signal) => untilSettled(http, write, { signal, waitsForApproval }),
    waitsForApproval,
  });
}

/** Follows the write's status until it has an outcome; the next request then gets the answer itself as a replay. */
async function untilSettled(
  http: Http,
  write: Write,
  { signal, waitsForApproval }: { readonly signal: AbortSignal; readonly waitsForApproval: boolean | undefined },
): Promise<void> {
  while (!signal.aborted) {
    const pause = pollPause();
    const status = await readStatus(http, write, signal);
    if (status !== undefined && isSuccess(status) && isOpen(status, waitsForApproval)) {
      await pause(signal);
      continue;
    }
    // Settled, or the status is not available: the write is sent again. Pause first, in case that fails too.
    if (status === undefined || !isSuccess(status)) await sleep(STATUS_FAILED_PAUSE_MS, signal);
    return;
  }
}

/** By the key, not by `Location`, which a proxy may have changed. */
async function readStatus(http: Http, write: Write, signal: AbortSignal): Promise<Answer | undefined> {
  try {
    const token = await unlessAborted(tokenFor(write), signal);
    const path = `/api/writes/${segment(write.key)}`;
    const request = { method: 'GET', path, token, prefer: `wait=${STATUS_WAIT_S}`, signal } as const;
    return await unlessAborted(http.send(request), signal);
  } catch {
    return undefined;
  }
}

function isOpen({ text }: Answer, waitsForApproval: boolean | undefined): boolean {
  const status = objectIn(text) as { readonly state?: unknown } | undefined;
  return status?.state === 'running' || (waitsForApproval === true && status?.state === PENDING_APPROVAL);
}
