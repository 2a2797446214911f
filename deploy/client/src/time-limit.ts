import { onAbort } from './abort.ts';

/**
 * A signal that is aborted when the time is over (with a TimeoutError) or `outer` is. `end` lets go of the timer and of `outer`.
 *
 * @param limitMs no timer is longer than 24 days: above that, there is no limit
 */
export function limitTime(limitMs: number, outer: AbortSignal | undefined): { signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const onOuter = () => controller.abort(outer?.reason);
  const onTime = () => controller.abort(new DOMException(`No answer within ${limitMs / 1_000} s`, 'TimeoutError'));
  if (outer?.aborted) onOuter();
  const letGo = outer === undefined ? undefined : onAbort(outer, onOuter);
  const timer = limitMs > LONGEST_TIMER_MS ? undefined : setTimeout(onTime, limitMs);
  return {
    signal: controller.signal,
    end() {
      clearTimeout(timer);
      letGo?.();
    },
  };
}

/** A signal that is aborted with `outer`, and when `restart` was called and then not again for too long. */
export function limitSilence(
  limitMs: number,
  outer: AbortSignal | undefined,
): { signal: AbortSignal; restart(): void; end(): void } {
  const controller = new AbortController();
  const onOuter = () => controller.abort(outer?.reason);
  const onSilence = () => controller.abort(new DOMException('It took no bytes and gave no answer', 'TimeoutError'));
  if (outer?.aborted) onOuter();
  const letGo = outer === undefined ? undefined : onAbort(outer, onOuter);
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    signal: controller.signal,
    restart() {
      clearTimeout(timer);
      timer = setTimeout(onSilence, limitMs);
    },
    end() {
      clearTimeout(timer);
      letGo?.();
    },
  };
}

/** A longer one is over at once. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What the promise comes to, or the reason of the abort if that is earlier; then nobody learns any more what it comes to. */
export async function unlessAborted<T>(promise: PromiseLike<T> | T, signal: AbortSignal): Promise<T> {
  let letGo: (() => void) | undefined;
  const aborted = new Promise<typeof ABORTED>((resolve) => {
    if (signal.aborted) resolve(ABORTED);
    else letGo = onAbort(signal, () => resolve(ABORTED));
  });
  try {
    const first = await Promise.race([promise, aborted]);
    if (first === ABORTED) signal.throwIfAborted();
    return first as T;
  } finally {
    letGo?.();
  }
}

const ABORTED = Symbol('aborted');
