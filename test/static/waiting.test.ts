import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createSemaphore } from '../../api/submit/semaphore.ts';
import { deferred, withTimeout } from '../../worker/timeouts.ts';

const { signal } = new AbortController();

describe('the semaphore of starts', () => {
  test('lets so many through at once, the others in the order in which they came', async () => {
    const semaphore = createSemaphore(2);
    const begun: number[] = [];
    const ends = Array.from({ length: 6 }, () => deferred<void>());
    const done = ends.map((end, index) =>
      semaphore.run(
        'a',
        async () => {
          begun.push(index);
          await end.promise;
          return index;
        },
        signal,
      ),
    );
    await turn();
    expect(begun).toEqual([0, 1]);
    expect(semaphore.queued).toBe(4);
    for (const [finished, expected] of [
      [1, [0, 1, 2]],
      [2, [0, 1, 2, 3]],
      [0, [0, 1, 2, 3, 4]],
    ] as const) {
      ends[finished]?.resolve();
      await turn();
      expect(begun).toEqual(expected);
    }
    for (const end of ends) end.resolve();
    expect(await Promise.all(done)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(semaphore.queued).toBe(0);
  });

  test('lets companies take turns: one with many starts delays no other by more than one', async () => {
    const semaphore = createSemaphore(1);
    const begun: string[] = [];
    const start = (name: string) => semaphore.run(name.slice(0, 1), async () => void begun.push(name), signal);
    await Promise.all(['a0', 'a1', 'a2', 'a3', 'b0', 'c0', 'c1'].map(start));
    expect(begun).toEqual(['a0', 'a1', 'b0', 'c0', 'a2', 'c1', 'a3']);
  });

  test('gives a free place to the one that waits, not to one that comes at that moment or later', async () => {
    const semaphore = createSemaphore(1);
    const begun: string[] = [];
    const first = deferred<void>();
    const run = (name: string, until?: Promise<void>) =>
      semaphore.run(
        'a',
        async () => {
          begun.push(name);
          await until;
        },
        signal,
      );
    const waiting = deferred<void>();
    const all = [run('first', first.promise), run('waiting', waiting.promise)];
    first.resolve();
    all.push(Promise.resolve().then(() => run('newcomer 0')));
    await turn();
    all.push(run('newcomer 1'));
    await turn();
    expect(begun).toEqual(['first', 'waiting']);
    waiting.resolve();
    await Promise.all(all);
    expect(begun).toEqual(['first', 'waiting', 'newcomer 0', 'newcomer 1']);
  });

  test('stays as wide as it was when a start fails', async () => {
    const semaphore = createSemaphore(1);
    const failing = () => Promise.reject(new Error('no start'));
    const ends = await Promise.allSettled([
      semaphore.run('a', failing, signal),
      semaphore.run('a', failing, signal),
      semaphore.run('a', async () => 'started', signal),
    ]);
    expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    expect(await semaphore.run('a', async () => 'again', signal)).toBe('again');
  });

  test('forgets what is unwanted before its turn, and goes on with the next', async () => {
    const semaphore = createSemaphore(1);
    const begun: string[] = [];
    const first = deferred<void>();
    const start = (name: string, unwanted: AbortSignal, until?: Promise<void>) =>
      semaphore.run(
        'a',
        async () => {
          begun.push(name);
          await until;
          return name;
        },
        unwanted,
      );
    const controllers = [new AbortController(), new AbortController()];
    const ends = [
      start('first', controllers[0]?.signal ?? signal, first.promise),
      start('unwanted', controllers[1]?.signal ?? signal),
      start('next', signal),
    ];
    for (const controller of controllers) controller.abort();
    expect(semaphore.queued).toBe(1);
    expect(await semaphore.run('a', async () => 'never', AbortSignal.abort())).toBeUndefined();
    first.resolve();
    expect(await Promise.all(ends)).toEqual(['first', undefined, 'next']);
    expect(begun).toEqual(['first', 'next']);
  });
});

describe('waiting within a limit', () => {
  test('answers what comes in time, and fails as it fails', async () => {
    expect(await withTimeout(Promise.resolve('in time'), 1_000)).toBe('in time');
    await expect(withTimeout(Promise.reject(new Error('failed')), 1_000)).rejects.toThrow('failed');
  });

  test('answers nothing when it takes longer, and a failure after that disturbs no one', async () => {
    let fail: (error: Error) => void = () => undefined;
    const late = new Promise<string>((_resolve, reject) => {
      fail = reject;
    });
    expect(await withTimeout(late, 1)).toBeUndefined();
    fail(new Error('too late'));
    await turn(); // an unhandled rejection would fail this test file
    expect(await withTimeout(new Promise(() => undefined), -1)).toBeUndefined();
  });
});
