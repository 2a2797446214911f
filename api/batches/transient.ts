import { setTimeout as sleep } from 'node:timers/promises';
import { isStorageUnavailable } from '../../activities/failures.ts';

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 2_000;

/**
 * Does the work again where it meets an error of the database that may pass, for about `forMs` and while somebody wants it. The
 * work may have been done already where the connection was lost at its COMMIT.
 */
export async function untilItPasses<T>(
  work: () => Promise<T>,
  { forMs, isWanted }: { readonly forMs: number; isWanted(): boolean },
): Promise<T> {
  const sinceMs = performance.now();
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
    try {
      return await work();
    } catch (error) {
      if (!isStorageUnavailable(error) || !isWanted() || performance.now() - sinceMs + pauseMs > forMs) throw error;
      await sleep(pauseMs);
    }
  }
}
