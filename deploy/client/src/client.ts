import { type BatchMethods, batchMethods } from './batches.ts';
import { type ClientOptions, createCalls, type PendingWrite, type SettleOptions, type Written } from './calls.ts';
import { type FollowOptions, followEvents } from './events.ts';
import { type Books, booksOf } from './generated/books.ts';
import type { Event } from './generated/types.ts';
import type { KeptWrite } from './keys.ts';
import { resolveWrite } from './resolve.ts';

/** All operations and reads of the API, grouped by resource, and what is about writes of any operation. */
export type AccuBooks = Omit<Books, 'batches' | 'events' | 'writes'> & {
  readonly batches: Books['batches'] & BatchMethods;
  readonly events: Books['events'] & {
    /** The company's events in order, each once, for as long as the iteration goes on: see {@link followEvents}. */
    follow(options?: FollowOptions): AsyncGenerator<Event, void, undefined>;
  };
  readonly writes: Books['writes'] & {
    /**
     * The outcome of a write by its key alone, for a program that has only that left; waits while the write is running,
     * and while it waits for its approval only with `waitForApproval`.
     * Resolves with undefined if nothing is known of the write, or if the token's user may not see it: sending it with the
     * same key is safe then. The resource is null where the user may see the write but not its answer. Throws what the write
     * itself would throw.
     */
    resolve<Resource = object>(
      idempotencyKey: string,
      options?: SettleOptions,
    ): Promise<Written<Resource | null> | undefined>;
    /** Sends a kept write again: the same bytes under the same key, whatever has become of it. */
    submit<Resource = object>(write: KeptWrite, options?: SettleOptions): PendingWrite<Resource>;
  };
};

export function createClient(options: ClientOptions): AccuBooks {
  const calls = createCalls(options);
  const books = booksOf(calls);
  return {
    ...books,
    batches: { ...books.batches, ...batchMethods(calls) },
    events: { ...books.events, follow: (options) => followEvents<Event>(calls, options) },
    writes: {
      ...books.writes,
      submit: calls.submit,
      resolve: (idempotencyKey, call) => resolveWrite(calls, idempotencyKey, call),
    },
  };
}
