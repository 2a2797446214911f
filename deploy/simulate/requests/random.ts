import { createHash } from 'node:crypto';

/** The choices that make a request: the simulator takes them from a seed, a property test from numbers that can shrink. */
export type Random = {
  /** From 0 to `below` - 1. */
  nat(below: number): number;
  pick<T>(of: readonly T[]): T;
  chance(share: number): boolean;
  /** Whether to ask for something unusual, which is mostly refused. */
  unusual(share: number): boolean;
};

const GRAIN = 1_000;
const RANGE = 2 ** 48;

/**
 * `next` answers whole numbers of at least 0. Smaller ones choose what is simpler: the first of a list, and nothing
 * unusual. `unusualFactor` multiplies the share of what is unusual; with 0 there is none.
 */
export function createRandom(next: () => number, unusualFactor: number): Random {
  const nat = (below: number) => next() % below;
  const chance = (share: number) => nat(GRAIN) >= GRAIN * (1 - share);
  return {
    nat,
    chance,
    unusual: (share) => unusualFactor > 0 && chance(share * unusualFactor),
    pick: (of) => {
      if (of.length === 0) throw new Error('Bug! Nothing to pick from');
      return of[nat(of.length)] as (typeof of)[number];
    },
  };
}

/** The digests of a counter: slower than a generator made for it, and nothing to get wrong. */
export function seededNumbers(seed: string): () => number {
  let drawn = 0;
  return () => {
    drawn += 1;
    return createHash('sha256').update(`${seed}:${drawn}`).digest().readUIntBE(0, 6);
  };
}

/** The name of an entry, by weight. */
export function pickWeighted({ nat }: Random, weights: readonly (readonly [name: string, weight: number])[]): string {
  let rest = (nat(RANGE) / RANGE) * weights.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [name, weight] of weights) {
    rest -= weight;
    if (rest < 0) return name;
  }
  throw new Error('Bug! Weights of which none was drawn');
}
