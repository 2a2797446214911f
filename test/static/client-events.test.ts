import { describe, expect, test } from 'vitest';
import type { Calls, Query } from '../../deploy/client/src/calls.ts';
import { RefusedError, UnavailableError } from '../../deploy/client/src/errors.ts';
import { type FollowOptions, followEvents } from '../../deploy/client/src/events.ts';

type Event = { readonly id: string; readonly kind: string };

const PAGE = 200;

/** A service with so many events, which tells what it was asked. */
function service(count: number) {
  const events: Event[] = [];
  const add = (more: number, kind = 'customer.created') => {
    for (let added = 0; added < more; added += 1) events.push({ id: `event ${events.length + 1}`, kind });
  };
  add(count);
  const asked: Query[] = [];
  const failures: Error[] = [];
  const onRead: (() => void)[] = [];
  const calls: Pick<Calls, 'read'> = {
    async read<Resource>(_path: string, query: Query = {}) {
      onRead.shift()?.();
      asked.push(query);
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      const { order = 'newest', after, kind, limit } = query;
      const begin = after === undefined ? 0 : events.findIndex(({ id }) => id === after) + 1;
      const listed = events.slice(begin).filter((event) => kind === undefined || event.kind === kind);
      const items = (order === 'oldest' ? listed : listed.toReversed()).slice(0, Number(limit));
      return { items, nextCursor: items.length < listed.length ? 'more' : null } as Resource;
    },
  };
  /** The IDs of the next events, as many as that; the iteration is then ended. */
  const take = async (wanted: number, options: FollowOptions = {}, onEvent: (id: string) => void = () => {}) => {
    const ids: string[] = [];
    for await (const { id } of followEvents<Event>(calls, { pollMs: 1, ...options })) {
      ids.push(id);
      onEvent(id);
      if (ids.length === wanted) break;
    }
    return ids;
  };
  return { add, asked, failures, onRead, calls, take };
}

const ids = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => `event ${from + index}`);

describe('who follows events', () => {
  test('gets each once and in order, a page at a time', async () => {
    const { take, asked } = service(450);
    const askedFor: number[] = [];
    expect(await take(450, {}, () => askedFor.push(asked.length))).toEqual(ids(1, 450));
    expect(asked.map(({ after, limit, order }) => [after, limit, order])).toEqual([
      [undefined, PAGE, 'oldest'],
      ['event 200', PAGE, 'oldest'],
      ['event 400', PAGE, 'oldest'],
    ]);
    // No page is asked for before the one before it has been handled.
    expect(askedFor).toEqual([...Array(200).fill(1), ...Array(200).fill(2), ...Array(50).fill(3)]);
  });

  test('waits for the next one, and asks from where it is', async () => {
    const { take, add, asked, onRead } = service(2);
    onRead.push(...[() => {}, () => {}, () => {}, () => add(3)]);
    expect(await take(5)).toEqual(ids(1, 5));
    expect(asked.map(({ after }) => after)).toEqual([undefined, 'event 2', 'event 2', 'event 2']);
  });

  test('begins after the event that the program has kept, else with the first one, else with the next one', async () => {
    expect(await service(5).take(2, { after: 'event 3' })).toEqual(ids(4, 5));
    expect(await service(5).take(2, { after: 'event 3', from: 'now' })).toEqual(ids(4, 5));
    expect(await service(5).take(2, { after: null, from: 'start' })).toEqual(ids(1, 2));
    for (const before of [0, 5]) {
      const { take, add, onRead } = service(before);
      onRead.push(...[() => {}, () => {}, () => add(2)]);
      expect(await take(2, { after: undefined, from: 'now' })).toEqual(ids(before + 1, before + 2));
    }
  });

  test('of one kind does not look again and again at all that has another kind', async () => {
    const { take, add, asked, onRead } = service(1);
    // Nothing new three times, others, nothing new, and then one of the kind.
    onRead.push(...[0, 0, 0, 0, 300, 0, 0, 0].map((more) => () => add(more, 'invoice.created')), () => add(1));
    expect(await take(2, { kind: 'customer.created' })).toEqual(['event 1', 'event 302']);
    expect(asked.map(({ after, limit }) => (limit === 1 ? 'newest' : after))).toEqual([
      ...['newest', undefined, 'newest', 'newest', 'newest', 'event 1'],
      ...['newest', 'newest', 'newest', 'event 301'],
    ]);
  });

  test('waits while the service is not available, however often', async () => {
    const { take, failures, asked } = service(3);
    failures.push(...[1, 2, 3].map(() => new UnavailableError('No final answer', {})));
    expect(await take(3)).toEqual(ids(1, 3));
    expect(asked).toHaveLength(4);
  });

  test('learns of a refusal, and of any other error', async () => {
    for (const error of [new RefusedError('422 validation_failed', { status: 422 }), new TypeError('No')]) {
      const { take, failures } = service(3);
      failures.push(error);
      await expect(take(1)).rejects.toBe(error);
    }
  });

  describe('ends without an error when the signal is aborted', () => {
    test('before it begins', async () => {
      const { take, asked } = service(3);
      expect(await take(9, { signal: AbortSignal.abort() })).toEqual([]);
      expect(await take(9, { signal: AbortSignal.abort(), from: 'now', kind: 'customer.created' })).toEqual([]);
      expect(asked).toEqual([]);
    });

    test('while an event is handled: the next one does not come', async () => {
      const { take } = service(3);
      const controller = new AbortController();
      const handled = await take(9, { signal: controller.signal }, (id) => id === 'event 2' && controller.abort());
      expect(handled).toEqual(ids(1, 2));
    });

    test('while it waits', async () => {
      const { take } = service(1);
      const controller = new AbortController();
      const soon = () => setImmediate(() => controller.abort());
      expect(await take(9, { signal: controller.signal, pollMs: 600_000 }, soon)).toEqual(ids(1, 1));
    });

    test.each(['UnavailableError', 'AbortError'])('during a request that ends with %s', async (name) => {
      const { take, onRead, failures } = service(1);
      const controller = new AbortController();
      failures.push(name === 'AbortError' ? new DOMException('Aborted', name) : new UnavailableError('Aborted', {}));
      onRead.push(() => controller.abort());
      expect(await take(9, { signal: controller.signal })).toEqual([]);
    });
  });
});
