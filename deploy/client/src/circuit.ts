import { sleep } from './pause.ts';

/**
 * Keeps a client from hammering a service that does not answer. After a number of failures in a row, requests wait; then one
 * of them is sent as a probe, and the others follow once it has been answered.
 */
export type Circuit = {
  /** Waits until a request may be sent; false if that is not before the abort. */
  admit(signal: AbortSignal): Promise<boolean>;
  /**
   * How an admitted request ended: `failed` if there was no answer, or the service is not available; `given up` if nobody
   * waited long enough to tell.
   */
  report(end: 'answered' | 'failed' | 'given up'): void;
};

export type CircuitOptions = {
  /** So many failures in a row open the circuit; 10 if omitted. */
  readonly failures?: number | undefined;
  /** How long it then stays open; 1,000 if omitted. Doubled with each probe that fails, up to 30 times as long. */
  readonly openMs?: number | undefined;
};

const LONGEST_OPENING = 30;

export function createCircuit({ failures: threshold = 10, openMs = 1_000 }: CircuitOptions = {}): Circuit {
  if (!(threshold >= 1 && openMs > 0 && openMs < Number.POSITIVE_INFINITY)) {
    throw new TypeError('circuit: failures is a number from 1, and openMs one of milliseconds above 0.');
  }
  let failures = 0;
  let openForMs = openMs;
  let openUntil = 0;
  let probing = false;

  const isOpen = () => failures >= threshold;
  return {
    async admit(signal) {
      while (!signal.aborted) {
        if (!isOpen()) return true;
        const now = performance.now();
        if (now >= openUntil && !probing) {
          probing = true;
          return true;
        }
        // A probe in flight reports by itself, which moves `openUntil` or closes the circuit.
        await sleep(Math.max(openUntil - now, MIN_WAIT_MS), signal);
      }
      return false;
    },
    report(end) {
      if (end === 'answered') {
        failures = 0;
        openForMs = openMs;
        probing = false;
        return;
      }
      if (end === 'given up') {
        probing = false;
        return;
      }
      failures += 1;
      if (!isOpen()) return;
      if (probing) openForMs = Math.min(openForMs * 2, openMs * LONGEST_OPENING);
      probing = false;
      openUntil = performance.now() + openForMs;
    },
  };
}

/** How often those who wait for a probe look again. */
const MIN_WAIT_MS = 200;
