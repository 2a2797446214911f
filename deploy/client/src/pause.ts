import { onAbort } from './abort.ts';
import { LONGEST_TIMER_MS } from './time-limit.ts';

/** The longest pause between attempts without a `Retry-After` grows from the first to the last of these. */
const FIRST_PAUSE_MS = 100;
const LAST_PAUSE_MS = 5_000;
/** Of a `Retry-After`, so that clients that were refused together do not come back together. */
const SPREAD = 0.25;

/**
 * The pause before the next attempt, in milliseconds: never shorter than `Retry-After`, and never shorter than a time at random
 * between the half and the whole of one that doubles with each attempt.
 *
 * @param attempts how many requests there were, from 1
 */
export function pauseMs(
  attempts: number,
  retryAfterMs: number | undefined,
  random: () => number = Math.random,
): number {
  const longestMs = Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempts - 1));
  // Also with a Retry-After, which may be 0, or a time that is over by this machine's clock.
  return Math.max((retryAfterMs ?? 0) * (1 + SPREAD * random()), longestMs * (0.5 + 0.5 * random()));
}

/** The pause after a long poll, which is made before it: a service that has not waited itself is not asked without end. */
export function pollPause(): (signal?: AbortSignal) => Promise<void> {
  const earliest = performance.now() + BETWEEN_POLLS_MS;
  return (signal) => sleep(Math.max(0, earliest - performance.now()), signal);
}

const BETWEEN_POLLS_MS = 500;

/** Resolves after the time, or as soon as the signal is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      letGo?.();
      resolve();
    };
    const timer = setTimeout(end, Math.min(ms, LONGEST_TIMER_MS));
    const letGo = signal === undefined ? undefined : onAbort(signal, end);
  });
}
