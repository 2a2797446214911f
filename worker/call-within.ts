import type { ConnectionLike } from '@temporalio/client';

/** Limits the calls to Temporal that `call` makes. Without a limit, a call to a frozen server never ends. */
export function callWithin<T>(
  connection: Pick<ConnectionLike, 'withDeadline'>,
  limitMs: number,
  call: () => Promise<T>,
): Promise<T> {
  // biome-ignore lint/plugin: the SDK takes a point in time, and makes a duration of it at each call.
  return connection.withDeadline(Date.now() + limitMs, call);
}
