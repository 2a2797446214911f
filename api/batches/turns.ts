import { setImmediate as nextTurn } from 'node:timers/promises';

/** So long a file is read at once; whatever else the process has to do waits meanwhile. */
const TURN_MS = 10;

/** For work that never waits by itself: rows that are there already are read without a turn of the event loop. */
export function createTurns(): { /** Gives the others a turn, when it is time. */ give(): Promise<void> } {
  let since = performance.now();
  return {
    async give() {
      if (performance.now() - since < TURN_MS) return;
      await nextTurn();
      since = performance.now();
    },
  };
}
