import type { Calls, Query } from './calls.ts';
import { UnavailableError } from './errors.ts';
import { isPage, type Page } from './pages.ts';
import { pauseMs, sleep } from './pause.ts';

export type FollowOptions = {
  /**
   * The ID of the last event that the program has handled, as it has kept it: the event after it comes first. Null or undefined
   * at the first start, for which `from` decides.
   */
  readonly after?: string | null | undefined;
  /**
   * Without `after`: `start` (if omitted) begins with the company's first event, `now` with the next one after the first
   * request. A program that ends before it has handled an event has no ID to keep, and `now` is then a later one.
   */
  readonly from?: 'start' | 'now' | undefined;
  /** Only events of this kind, such as `payment.created`. */
  readonly kind?: string | undefined;
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal | undefined;
  /** About how long to wait before asking for more when there is nothing new; 1,000 if omitted. Up to 5,000 when idle for long. */
  readonly pollMs?: number | undefined;
};

const PATH = '/api/events';
/** What the service allows, and all that is held in memory. */
const EVENTS_A_PAGE = 200;
const POLL_MS = 1_000;
const LONGEST_POLL_MS = 5_000;

/**
 * The company's events in order, each once, for as long as the iteration goes on: when there are no more, it waits for the next
 * one. An outage of any length is waited for. Ends when `signal` is aborted; throws {@link RefusedError} if the service refuses
 * the request, for example because the token's user may not read events, or because it does not know the event `after`
 * (`error.problem.errors[0].pointer` is `/after`): a restore of the database has lost it, or the user may no longer see it.
 *
 * The ID of the last event is the cursor. A program that keeps it after it has handled the event handles each event at least
 * once, whenever it is killed; a program that keeps it in the transaction of what it does handles each exactly once.
 *
 * @example
 * for await (const event of books.events.follow({ after: await load(), signal })) {
 *   await handle(event);
 *   await save(event.id);
 * }
 */
export async function* followEvents<Event extends { readonly id: string }>(
  calls: Pick<Calls, 'read'>,
  { after, from = 'start', kind, signal, pollMs = POLL_MS }: FollowOptions = {},
): AsyncGenerator<Event, void, undefined> {
  if (!(pollMs > 0 && pollMs < Number.POSITIVE_INFINITY)) throw new TypeError('pollMs must be a number above 0.');
  let position = after ?? undefined;
  if (position === undefined && from === 'now') position = await newestId();
  let idlePolls = 0;
  while (!signal?.aborted) {
    // Asked first: whatever matches up to it is on the page that is asked for afterwards.
    const newest = kind === undefined ? undefined : await newestId();
    const page = newest !== undefined && newest === position ? NOTHING_NEW : await nextPage(position);
    if (page === undefined) return;
    for (const event of page.items) {
      if (signal?.aborted) return;
      yield event;
      position = event.id;
    }
    if (page.items.length > 0) idlePolls = 0;
    // Otherwise each poll would look again at all that has another kind.
    else position = newest ?? position;
    if (page.nextCursor !== null) continue;
    await sleep(idleMs(pollMs, idlePolls), signal);
    idlePolls += 1;
  }

  /** Not by the page's cursor: an ID is valid for any length of time, and the last page has no cursor. */
  function nextPage(last: string | undefined): Promise<Page<Event> | undefined> {
    return read({ order: 'oldest', after: last, kind, limit: EVENTS_A_PAGE });
  }

  async function newestId(): Promise<string | undefined> {
    return (await read({ limit: 1 }))?.items[0]?.id;
  }

  /** Undefined once the signal is aborted. */
  async function read(query: Query): Promise<Page<Event> | undefined> {
    for (let attempts = 1; !signal?.aborted; attempts += 1) {
      try {
        const page = await calls.read<Page<Event>>(PATH, query, { signal });
        if (!isPage(page)) throw new UnavailableError(`The answer to GET ${PATH} is not a page of events.`, {});
        return page;
      } catch (error) {
        if (signal?.aborted) return undefined;
        if (!(error instanceof UnavailableError)) throw error;
        await sleep(pauseMs(attempts, undefined), signal);
      }
    }
    return undefined;
  }
}

const NOTHING_NEW = { items: [], nextCursor: null } as const;

/** At random between the half and the whole of a time that doubles while nothing comes. */
function idleMs(pollMs: number, idlePolls: number): number {
  const longestMs = Math.min(pollMs * 2 ** idlePolls, Math.max(pollMs, LONGEST_POLL_MS));
  return longestMs * (0.5 + 0.5 * Math.random());
}
