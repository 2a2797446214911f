import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createShares, NoTurn, type Patience } from '../../activities/shares.ts';

const SOON_MS = 20;
const LONG_MS = 60_000;

/** Transactions that end when they are told to, and the order in which they began. */
function pool(connections: number) {
  const shares = createShares(connections);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  return {
    shares,
    begun,
    begin(companyId: string, patience: Patience, name = companyId, takesSlot = false) {
      const ran = shares.run({ companyId, patience, takesSlot }, LONG_MS, () => {
        begun.push(name);
        return new Promise<void>((resolve) => ends.set(name, resolve));
      });
      // Who still waits when a test is over gets no turn any more.
      return ran.catch((error: unknown) => {
        if (!(error instanceof NoTurn)) throw error;
      });
    },
    async end(name: string) {
      ends.get(name)?.();
      await turn();
    },
  };
}

describe('the connections of the write pool', () => {
  test('are all one company’s while nobody else asks, and the next free one is the other’s', async () => {
    const { begun, begin, end } = pool(4);
    for (let n = 0; n < 8; n += 1) void begin('a', 'brief', `a${n}`);
    void begin('b', 'brief');
    await turn();
    expect(begun).toEqual(['a0', 'a1', 'a2', 'a3']);
    await end('a2');
    expect(begun).toEqual(['a0', 'a1', 'a2', 'a3', 'b']);
    await end('b');
    expect(begun.at(-1)).toBe('a4');
  });

  test('go to a company’s patient transactions up to a quarter, and to those of all companies up to a half', async () => {
    const { begun, begin, shares } = pool(16);
    for (const company of ['a', 'b', 'c']) {
      for (let n = 0; n < 6; n += 1) void begin(company, 'patient', `${company}${n}`);
    }
    await turn();
    expect(begun.toSorted()).toEqual(['a0', 'a1', 'a2', 'a3', 'b0', 'b1', 'b2', 'b3']);
    expect(shares.waiting).toBe(10);
    void begin('a', 'brief', 'brief');
    await turn();
    expect(begun.at(-1)).toBe('brief');
  });

  test.each([
    { patience: 'patient', ofOne: 4, ofAll: 16 },
    { patience: 'brief', ofOne: 16, ofAll: 32 },
  ] as const)(
    'are waited for, of those that take a slot, by few $patience ones of a company and by few in all, yet by one of every company',
    async ({ patience, ofOne, ofAll }) => {
      const { begin, shares } = pool(4);
      // What takes no slot is never refused, and keeps none of those out that do.
      for (let n = 0; n < 100; n += 1) void begin('z', patience, `z${n}`);
      for (let n = 0; n < 4; n += 1) void begin('y', 'brief', `y${n}`);
      await turn();
      const newlyWaiting = async (company: string) => {
        const before = shares.waiting;
        for (let n = 0; n < 50; n += 1) void begin(company, patience, `${company}${n}`, true);
        await turn();
        return shares.waiting - before;
      };
      expect(await newlyWaiting('a')).toBe(ofOne);
      let sum = ofOne;
      for (const company of ['b', 'c', 'd']) sum += await newlyWaiting(company);
      expect(sum).toBe(ofAll + (patience === 'brief' ? 2 : 0));
      expect([await newlyWaiting('e'), await newlyWaiting('z')]).toEqual([1, 1]);
    },
  );

  test('come to a patient one of a busy company as well while two others have patient ones without end', async () => {
    const { begun, begin, end } = pool(4);
    for (const company of ['a', 'b']) for (let n = 0; n < 9; n += 1) void begin(company, 'patient', `${company}${n}`);
    for (let n = 0; n < 9; n += 1) void begin('c', 'brief', `c${n}`);
    void begin('c', 'patient', 'patient');
    await turn();
    expect(begun.toSorted()).toEqual(['a0', 'b0', 'c0', 'c1']);
    await end('a0');
    expect(begun.at(-1)).toBe('patient');
  });

  test('take turns between companies, also where there is only one connection', async () => {
    const { begun, begin, end } = pool(1);
    for (const name of ['a0', 'a1', 'b0', 'b1']) void begin(name.slice(0, 1), 'brief', name);
    await turn();
    for (const name of ['a0', 'b0', 'a1']) await end(name);
    expect(begun).toEqual(['a0', 'b0', 'a1', 'b1']);
  });

  test('are short for a company when more of its own wait than its equal part, and for no other', async () => {
    const { begin, shares } = pool(4);
    for (let n = 0; n < 8; n += 1) void begin('a', 'brief', `a${n}`);
    await turn();
    expect(['a', 'b'].map(shares.isBacklogged)).toEqual([false, false]);
    void begin('a', 'brief', 'one more');
    expect(['a', 'b'].map(shares.isBacklogged)).toEqual([true, false]);
    for (let n = 0; n < 3; n += 1) void begin('b', 'brief', `b${n}`);
    expect(shares.isBacklogged('b')).toBe(true);
  });

  test('come to a patient one as well while brief ones of its company never end', async () => {
    const { begun, begin, end } = pool(4);
    for (let n = 0; n < 4; n += 1) void begin('a', 'brief', `a${n}`);
    void begin('a', 'patient', 'patient');
    await turn();
    for (let n = 4; n < 10; n += 1) {
      void begin('a', 'brief', `a${n}`);
      await end(`a${n - 4}`);
    }
    expect(begun).toContain('patient');
    expect(begun.filter((name) => name !== 'patient')).toHaveLength(9);
  });

  test('that do not come in time are no turn, and the place in the queue is given up', async () => {
    const { shares, begin, end } = pool(1);
    void begin('a', 'brief', 'a0');
    const late = shares.run({ companyId: 'b', patience: 'brief' }, SOON_MS, async () => 'ran');
    await expect(late).rejects.toBeInstanceOf(NoTurn);
    expect(shares.waiting).toBe(0);
    await end('a0');
    expect(await shares.run({ companyId: 'b', patience: 'brief' }, SOON_MS, async () => 'ran')).toBe('ran');
  });

  test('come back when the work fails, whatever the order: all of it runs that may wait, and never more at once than there are', async () => {
    const work = fc.record({
      companyId: fc.constantFrom('a', 'b', 'c'),
      patience: fc.constantFrom<Patience>('brief', 'patient'),
      takesSlot: fc.boolean(),
      isBroken: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }),
        fc.array(work, { maxLength: 40 }),
        async (connections, works) => {
          const shares = createShares(connections);
          const most = { all: 0, patientOfA: 0 };
          const now = { all: 0, patientOfA: 0 };
          const begun = new Set<number>();
          const ends = await Promise.allSettled(
            works.map(({ isBroken, ...asked }, index) => {
              const change = { all: 1, patientOfA: asked.companyId === 'a' && asked.patience !== 'brief' ? 1 : 0 };
              return shares.run(asked, LONG_MS, async () => {
                begun.add(index);
                for (const what of ['all', 'patientOfA'] as const) {
                  now[what] += change[what];
                  most[what] = Math.max(most[what], now[what]);
                }
                await turn();
                for (const what of ['all', 'patientOfA'] as const) now[what] -= change[what];
                if (isBroken) throw new Error('failed');
              });
            }),
          );
          // Only of those that take a slot may there be too many.
          const expected = works.map(({ isBroken, takesSlot }, index) => {
            if (!begun.has(index)) return takesSlot ? 'NoTurn' : 'a turn';
            return isBroken ? 'Error' : 'fulfilled';
          });
          const ended = ends.map((end) => {
            if (end.status === 'fulfilled') return 'fulfilled';
            return end.reason instanceof NoTurn ? 'NoTurn' : 'Error';
          });
          expect(ended).toEqual(expected);
          expect(most.all).toBeLessThanOrEqual(connections);
          expect(most.patientOfA).toBeLessThanOrEqual(Math.max(1, Math.floor(connections / 4)));
          expect(shares.waiting).toBe(0);
        },
      ),
    );
  });
});
