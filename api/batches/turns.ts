import { setImmediate as nextTurn } from 'node:timers/promises';

/** So long one request is worked at; whatever else the process has to do waits meanwhile. */
const TURN_MS = 10;

/**
 * Passes on what is there already, and gives the other requests of the process their turns: without that, the bytes of a file are
 * read without a turn of the event loop, whether they have rows or blank lines.
 */
export async function* inTurns<T>(all: AsyncIterable<T> | Iterable<T>): AsyncGenerator<T> {
  let since = performance.now();
  for await (const each of all) {
    if (performance.now() - since > TURN_MS) {
      await nextTurn();
      since = performance.now();
    }
    yield each;
  }
}
