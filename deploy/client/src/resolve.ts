import { PENDING_APPROVAL } from './answers.ts';
import type { Calls, SettleOptions, Written } from './calls.ts';
import { errorOf, RefusedError, UnavailableError } from './errors.ts';
import type { Problem, Write } from './generated/types.ts';
import { segment } from './http.ts';
import type { Outcome } from './outcome.ts';
import { pollPause } from './pause.ts';

const WAIT_S = 10;

/**
 * The outcome of a write, asked by its key: for a program that does not know what became of its request. Waits while the
 * write is running; while it waits for its approval, only with `waitForApproval`. Resolves with undefined if nothing is known of it, or if the token's user may not see it: sending it with
 * the same key is safe then. The resource is null where the user may see the write, and no longer its answer. Throws what the
 * write itself throws.
 */
export async function resolveWrite<Resource>(
  calls: Calls,
  idempotencyKey: string,
  options: SettleOptions = {},
): Promise<Written<Resource | null> | undefined> {
  const write = await settled(calls, idempotencyKey, options);
  if (write === undefined) return undefined;
  const { state, location, requestId } = write;
  if (state === 'succeeded') {
    const answered = { replayed: true, status: write.status ?? 200, location: location ?? undefined, requestId };
    return { resource: write.response as Resource | null, idempotencyKey, ...answered };
  }
  const operation = write.operation ?? 'unknown';
  throw errorOf(noOf(write), { idempotencyKey, operation, cause: options.signal?.reason });
}

function noOf(write: Write): Exclude<Outcome, { state: 'succeeded' }> {
  const { status, requestId, location, response } = write;
  const state: string = write.state;
  const answered = { status: status ?? 500, replayed: true, location: location ?? undefined, requestId };
  if (state === 'rejected' || state === 'cancelled')
    return { state, ...answered, problem: (response as Problem | null) ?? hidden(state, answered.status, location) };
  if (state === PENDING_APPROVAL) return { state: 'pending_approval', ...answered, status: 202, write };
  if (state === 'lost') return { state, ...answered, problem: undefined };
  // Accepted and running; or its run has failed, and the same request may be sent again.
  return { ...NO_ANSWER, acknowledged: state === 'running', onTheWay: { [state]: 1 } };
}

/** To whoever may see the write, but not its answer, because a role was lost. */
function hidden(state: 'rejected' | 'cancelled', status: number, location: string | null): Problem {
  const detail = 'The answer is not shown to this token.';
  const about = { type: 'about:blank', title: 'The write has its outcome', detail, instance: location ?? '' };
  return { ...about, status, code: state, retryable: false, nextAction: 'none' };
}

const NO_ANSWER = {
  ...{ state: 'unknown', acknowledged: false, requests: 1, onTheWay: { 'no answer': 1 } },
  ...{ mayHaveHappened: true, lastError: undefined },
} as const satisfies Outcome;

/** The write, once it is no longer running or the time is over; undefined if there is none. */
async function settled(
  calls: Calls,
  key: string,
  { waitForApproval, ...options }: SettleOptions,
): Promise<Write | undefined> {
  const deadline = performance.now() + (options.deadlineMs ?? calls.deadlineMs);
  let running: Write | undefined;
  for (;;) {
    const leftMs = Math.max(1, deadline - performance.now());
    const waitS = Math.min(WAIT_S, Math.max(1, Math.floor(leftMs / 1_000)));
    const pause = pollPause();
    const write = await ask(calls, key, { waitS, ...options, deadlineMs: leftMs }, running);
    const isOpen = write?.state === 'running' || (waitForApproval && (write?.state as string) === PENDING_APPROVAL);
    if (!isOpen || performance.now() >= deadline || options.signal?.aborted) return write;
    running = write;
    await pause(options.signal);
  }
}

/** @param running what is known already, if there is no answer */
async function ask(calls: Calls, key: string, options: SettleOptions, running: Write | undefined) {
  const path = `/api/writes/${segment(key)}`;
  const unknown = (cause?: unknown) => errorOf(NO_ANSWER, { idempotencyKey: key, operation: 'unknown', cause });
  try {
    const write = await calls.read<Write>(path, undefined, options);
    // The answer to another request, which a gateway has mixed up.
    if (write.key !== key) throw unknown();
    return write;
  } catch (error) {
    const isKnown = error instanceof RefusedError || error instanceof UnavailableError;
    if (!isKnown) throw error;
    if (error.code === 'write_not_found' && (error.problem?.writeUrl ?? path) === path) return undefined;
    if (running !== undefined) return running;
    throw unknown(error);
  }
}
