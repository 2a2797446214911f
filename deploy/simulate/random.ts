import { createHash } from 'node:crypto';

/** The same seed draws the same. */
export type Random = {
  /** From `min` to `max`, both included. */
  int(min: number, max: number): number;
  chance(share: number): boolean;
  /** One of them, which there must be. */
  pick<T>(of: readonly T[]): T;
  /** By weight: the entry of the name that was drawn. */
  weighted(weights: Readonly<Record<string, number>>): string;
  date(from: string, to: string): string;
};

const DAY_MS = 24 * 60 * 60 * 1000;
const RANGE = 2 ** 48;

/** The digests of a counter: slower than a generator made for it, and nothing to get wrong. */
export function createRandom(seed: string): Random {
  let drawn = 0;
  /** At least 0, below 1. */
  const next = () => {
    drawn += 1;
    return createHash('sha256').update(`${seed}:${drawn}`).digest().readUIntBE(0, 6) / RANGE;
  };
  const int = (min: number, max: number) => min + Math.floor(next() * (max - min + 1));
  return {
    int,
    chance: (share) => next() < share,
    pick: (of) => {
      const one = of[int(0, of.length - 1)];
      if (one === undefined) throw new Error('Bug! Nothing to pick from');
      return one;
    },
    weighted(weights) {
      const entries = Object.entries(weights);
      let rest = next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
      for (const [name, weight] of entries) {
        rest -= weight;
        if (rest < 0) return name;
      }
      return entries.at(-1)?.[0] ?? '';
    },
    date: (from, to) => {
      const days = Math.round((Date.parse(to) - Date.parse(from)) / DAY_MS);
      return new Date(Date.parse(from) + int(0, days) * DAY_MS).toISOString().slice(0, 10);
    },
  };
}
