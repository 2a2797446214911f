import type { Operation } from '../../activities/operation.ts';

/** The operation without its form for sets: what a test puts in the place of its `write` is then asked in a group, too. */
export function oneByOne(operation: Operation): Operation {
  const { set: _, ...others } = operation;
  return others;
}
