import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { deferred, within } from '../api/deferred.ts';
import { createStartGate } from '../api/start-gate.ts';

describe('the gate of starts', () => {
  test('lets so many through at once, the others in the order in which they came', async () => {
    const gate = createStartGate(2);
    const begun: number[] = [];
    const ends = Array.from({ length: 6 }, () => deferred<void>());
    const passed = ends.map((end, index) =>
      gate.pass(async () => {
        begun.push(index);
        await end.promise;
        return index;
      }),
    );
    await turn();
    expect(begun).toEqual([0, 1]);
    expect(gate.queued).toBe(4);
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
    expect(await Promise.all(passed)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(gate.queued).toBe(0);
  });

  test('gives a free place to the one that waits, not to one that comes at that moment or later', async () => {
    const gate = createStartGate(1);
    const begun: string[] = [];
    const first = deferred<void>();
    const pass = (name: string, until?: Promise<void>) =>
      gate.pass(async () => {
        begun.push(name);
        await until;
      });
    const waiting = deferred<void>();
    const all = [pass('first', first.promise), pass('waiting', waiting.promise)];
    first.resolve();
    all.push(Promise.resolve().then(() => pass('newcomer 0')));
    await turn();
    all.push(pass('newcomer 1'));
    await turn();
    expect(begun).toEqual(['first', 'waiting']);
    waiting.resolve();
    await Promise.all(all);
    expect(begun).toEqual(['first', 'waiting', 'newcomer 0', 'newcomer 1']);
  });

  test('stays as wide as it was when a start fails', async () => {
    const gate = createStartGate(1);
    const failing = () => Promise.reject(new Error('no start'));
    const ends = await Promise.allSettled([gate.pass(failing), gate.pass(failing), gate.pass(async () => 'started')]);
    expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    expect(await gate.pass(async () => 'again')).toBe('again');
  });
});

describe('waiting within a limit', () => {
  test('answers what comes in time, and fails as it fails', async () => {
    expect(await within(Promise.resolve('in time'), 1_000)).toBe('in time');
    await expect(within(Promise.reject(new Error('failed')), 1_000)).rejects.toThrow('failed');
  });

  test('answers nothing when it takes longer, and a failure after that disturbs no one', async () => {
    let fail: (error: Error) => void = () => undefined;
    const late = new Promise<string>((_resolve, reject) => {
      fail = reject;
    });
    expect(await within(late, 1)).toBeUndefined();
    fail(new Error('too late'));
    await turn(); // an unhandled rejection would fail this test file
    expect(await within(new Promise(() => undefined), -1)).toBeUndefined();
  });
});
