import { sourceOf } from './client-address.ts';

/**
 * Counts the tokens that were refused, by source, in windows of a minute. It only ever looks at requests that are refused
 * anyway: a valid token passes from everywhere.
 */
export type SignInLimit = {
  /** Counts one; the seconds until the source may fail again, or undefined while it may. */
  fail(address: string): number | undefined;
};

const WINDOW_MS = 60_000;
/** Of more sources than this, those that come last in a minute are not counted: each request is refused all the same. */
const MAX_SOURCES = 50_000;

export function createSignInLimit(perMinute: number, now = () => performance.now()): SignInLimit {
  let failures = new Map<string, number>();
  let beganAt = now();
  return {
    fail(address) {
      const at = now();
      if (at - beganAt >= WINDOW_MS) {
        failures = new Map();
        beganAt = at;
      }
      const source = sourceOf(address);
      const known = failures.get(source);
      if (known === undefined && failures.size >= MAX_SOURCES) return undefined;
      const count = (known ?? 0) + 1;
      failures.set(source, count);
      return count > perMinute ? Math.ceil((beganAt + WINDOW_MS - at) / 1000) : undefined;
    },
  };
}
