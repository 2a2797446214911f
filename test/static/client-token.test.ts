import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { tokenOf } from '../../deploy/client/src/token.ts';

const NOW = new Date('2026-01-01T00:00:00Z');
beforeEach(() => {
  vi.useFakeTimers({ now: NOW, toFake: ['Date', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A token that lives so long, as far as its claims say. */
function living(seconds: number, name: string): string {
  const claims = { name, exp: Math.floor(Date.now() / 1_000) + seconds };
  return ['e30', Buffer.from(JSON.stringify(claims)).toString('base64url'), 'signature'].join('.');
}

const later = (seconds: number) => vi.advanceTimersByTime(seconds * 1_000);
/** Lets what nobody waits for go on. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A source that gives tokens with a life of that, and whether it fails. */
function sourceOf(lifeS: number) {
  const given: string[] = [];
  const state = { isAway: false };
  const source = async () => {
    await settle();
    if (state.isAway) throw new Error('The provider is away');
    given.push(living(lifeS, `token ${given.length + 1}`));
    return given.at(-1) as string;
  };
  return { token: tokenOf(source), given, state };
}

describe('a token', () => {
  test('is asked for once, by however many', async () => {
    const { token, given } = sourceOf(3_600);
    const got = await Promise.all(Array.from({ length: 50 }, () => token.get()));
    expect(given).toHaveLength(1);
    expect(new Set([...got, await token.get()])).toEqual(new Set(given));
  });

  test.each([
    [3_600, 3_600 - 150],
    [86_400, 86_400 - 150],
    [300, 240],
    [10, 8],
  ])('of %i s is renewed after %i s, once, and nobody waits for it', async (lifeS, renewedAfterS) => {
    const { token, given } = sourceOf(lifeS);
    await token.get();
    later(renewedAfterS - 1);
    await token.get();
    await settle();
    expect(given).toHaveLength(1);
    later(2);
    expect(await Promise.all([token.get(), token.get()])).toEqual([given[0], given[0]]);
    await settle();
    await settle();
    expect(given).toHaveLength(2);
    expect(await token.get()).toBe(given[1]);
  });

  test('is used until its end while the source fails, which is asked every five seconds', async () => {
    const { token, given, state } = sourceOf(3_600);
    await token.get();
    state.isAway = true;
    later(3_600 - 100);
    for (let asked = 0; asked < 20; asked += 1) {
      expect(await token.get()).toBe(given[0]);
      await settle();
      await settle();
      later(1);
    }
    later(80);
    await expect(token.get()).rejects.toThrow('The provider is away');
    state.isAway = false;
    expect(await token.get()).toBe(given[1]);
  });

  test('that was refused is asked for again, once for all who learn of it, also for those who learn it late', async () => {
    const { token, given } = sourceOf(3_600);
    const first = await token.get();
    token.refuse(first);
    token.refuse(first);
    const [second] = await Promise.all([token.get(), token.get()]);
    token.refuse(first);
    expect(await token.get()).toBe(second);
    expect(given).toHaveLength(2);
    // Each refusal counts, whatever was refused in between.
    token.refuse(second as string);
    token.refuse(first);
    await token.get();
    expect(given).toHaveLength(3);
  });

  test.each(['opaque', 'a.b', 'a.###.c', `a.${Buffer.from('[]').toString('base64url')}.c`])(
    'without a known end is used until it is refused: %s',
    async (text) => {
      let asked = 0;
      const token = tokenOf(() => {
        asked += 1;
        return ` ${text}\n`;
      });
      expect(await token.get()).toBe(text);
      later(10 * 365 * 86_400);
      expect(await token.get()).toBe(text);
      expect(asked).toBe(1);
      token.refuse(text);
      await token.get();
      expect(asked).toBe(2);
    },
  );

  test.each(['', ' \n', undefined, 1])('is none: %j', async (none) => {
    await expect(tokenOf(() => none as string).get()).rejects.toThrow('no token');
  });

  test('whose source hangs once is asked for again', async () => {
    vi.useFakeTimers();
    try {
      let asked = 0;
      const token = tokenOf(() => {
        asked += 1;
        return asked === 1 ? new Promise<never>(() => undefined) : 'second';
      });
      const first = token.get().catch((error: Error) => error.name);
      await vi.advanceTimersByTimeAsync(31_000);
      expect([await first, await token.get()]).toEqual(['TimeoutError', 'second']);
    } finally {
      vi.useRealTimers();
    }
  });

  test('whose source throws at once is asked for again', async () => {
    let asked = 0;
    const token = tokenOf(() => {
      asked += 1;
      if (asked === 1) throw new Error('No');
      return 'token';
    });
    await expect(token.get()).rejects.toThrow('No');
    expect(await token.get()).toBe('token');
  });
});
