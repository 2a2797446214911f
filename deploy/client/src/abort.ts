/**
 * Calls back when the signal is aborted; the function that it returns ends that. Any number of calls may share a signal: it
 * gets one listener, of which Node would otherwise warn as a leak from the eleventh on.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const callbacks = callbacksOf.get(signal) ?? listen(signal);
  callbacks.add(callback);
  return () => void callbacks.delete(callback);
}

const callbacksOf = new WeakMap<AbortSignal, Set<() => void>>();

function listen(signal: AbortSignal): Set<() => void> {
  const callbacks = new Set<() => void>();
  signal.addEventListener(
    'abort',
    () => {
      for (const callback of [...callbacks]) callback();
    },
    { once: true },
  );
  callbacksOf.set(signal, callbacks);
  return callbacks;
}
