import { randomUUID } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createDispatch } from '../../api/submit/dispatch.ts';
import type { GroupItem, WriteArguments } from '../../workflows/messages.ts';
import { TRUSTED } from '../support/trusted-fence.ts';

/** The rules of the queue alone: what is started with what. Temporal's part of it is in group.test.ts. */
function queue(grouping: boolean) {
  const batches: string[][] = [];
  const answers: (() => void)[] = [];
  const forgotten: string[] = [];
  const started = (keys: string[]) => {
    batches.push(keys);
    return new Promise<{ runId: string }>((resolve) => answers.push(() => resolve({ runId: 'run' })));
  };
  const heldBack = new Set<string>();
  const never = () => new Promise<never>(() => undefined);
  const runs = { start: ({ key }: WriteArguments) => started([key]) };
  const lane = {
    isOpen: true,
    start: async (items: readonly GroupItem[]) => {
      const { runId } = await started(items.map(({ args }) => args.key));
      return { workflowId: 'group', runId, settle: () => undefined };
    },
  };
  const dispatch = createDispatch({
    runs: runs as never,
    groups: { waitUntilClosed: never },
    fence: TRUSTED,
    lane,
    grouping,
    isBacklogged: (companyId) => heldBack.has(companyId),
    summarize: ({ key }) => key,
    observeStart: () => undefined,
  });
  return {
    batches,
    answer: async (index: number) => {
      answers[index]?.();
      await turn();
    },
    forgotten,
    heldBack,
    dispatch,
    /** Sends a write whose outcome does not come. */
    send(key: string, companyId = 'company', note = '') {
      const args = { key, companyId, submissionId: randomUUID(), input: { params: {}, body: { note } } };
      const unwanted = new AbortController();
      const sent = dispatch.send(
        {
          args: args as unknown as WriteArguments,
          ended: never(),
          waitsForLock: never(),
          onStarting: () => undefined,
          onForgotten: () => void forgotten.push(key),
        },
        unwanted.signal,
      );
      return { sent, forget: () => unwanted.abort() };
    },
  };
}

describe('what waits for a start', () => {
  test('goes one by one without groups, as soon as Temporal has taken the one before, outcome or not', async () => {
    const { batches, answer, send } = queue(false);
    for (const key of ['a', 'b', 'c', 'd']) send(key);
    expect(batches).toEqual([['a'], ['b']]);
    await answer(0);
    expect(batches).toEqual([['a'], ['b'], ['c']]);
    await answer(1);
    expect(batches).toEqual([['a'], ['b'], ['c'], ['d']]);
  });

  test('travels together with groups, companies in turn', async () => {
    const { batches, answer, send } = queue(true);
    for (const key of ['a', 'b']) send(key);
    for (const key of ['one-1', 'one-2', 'one-3']) send(key, 'one');
    for (const key of ['two-1', 'two-2']) send(key, 'two');
    await answer(0);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(batches).toEqual([['a'], ['b'], ['one-1', 'two-1', 'one-2', 'two-2', 'one-3']]);
  });

  test('waits for the group that is under way, though one more start would be free: a second would halve the next', async () => {
    const { batches, answer, send } = queue(true);
    for (const key of ['a', 'b', 'c-1', 'c-2']) send(key);
    await answer(0);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(batches).toEqual([['a'], ['b'], ['c-1', 'c-2']]);
    send('d-1');
    await answer(1);
    await new Promise((resolve) => setTimeout(resolve, 500));
    send('d-2');
    expect(batches).toHaveLength(3);
    await answer(2);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(batches[3]).toEqual(['d-1', 'd-2']);
  });

  test('of a company of which many wait for connections stays, and holds up no other company', async () => {
    const { batches, heldBack, send } = queue(true);
    heldBack.add('stuck');
    for (const key of ['stuck-1', 'stuck-2']) send(key, 'stuck');
    send('other', 'other');
    expect(batches).toEqual([['other']]);
    heldBack.clear();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(batches).toEqual([['other'], ['stuck-1', 'stuck-2']]);
  });

  test('is forgotten at once when no one waits for it, and what has been sent is not', async () => {
    const { batches, answer, dispatch, forgotten, send } = queue(true);
    const [first] = ['a', 'b'].map((key) => send(key));
    const [, unwanted] = ['c-1', 'c-2', 'c-3'].map((key) => send(key));
    const lone = send('d', 'another');
    for (const one of [first, unwanted, lone]) one?.forget();
    expect(forgotten).toEqual(['c-2', 'd']);
    expect(dispatch.queued).toBe(2);
    expect(await Promise.all([unwanted?.sent, lone.sent])).toEqual(['forgotten', 'forgotten']);
    await answer(0);
    expect(await first?.sent).toMatchObject({ lane: 'key' });
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(batches).toEqual([['a'], ['b'], ['c-1', 'c-3']]);
  });

  test('is started past the queue by at most so many at once', async () => {
    const { batches, answer, dispatch } = queue(true);
    const { signal } = new AbortController();
    const keys = Array.from({ length: 25 }, (_, index) => `alone-${index}`);
    for (const key of keys) {
      void dispatch.startAlone({ key } as unknown as WriteArguments, () => undefined, signal);
    }
    await turn();
    expect(batches.flat()).toEqual(keys.slice(0, 20));
    for (let index = 0; index < 5; index += 1) await answer(index);
    expect(batches.flat()).toEqual(keys);
  });

  test('is no more in one group than Temporal takes as an input', async () => {
    const { batches, answer, send } = queue(true);
    for (const key of ['a', 'b']) send(key);
    for (const key of ['big-1', 'big-2', 'big-3']) send(key, 'company', 'x'.repeat(100 * 1024));
    await answer(0);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(batches[2]).toEqual(['big-1', 'big-2']);
  });
});
