import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { expect } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { WriteArguments } from '../../workflows/messages.ts';
import { inForm, timeLimit } from './form.ts';
import type { Member, OneCompany } from './two-databases.ts';

export type SetWrite = {
  readonly key: string;
  readonly operation: string;
  readonly params?: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
  readonly actor?: Member;
};

export type Comparison = {
  readonly oneByOne: OneCompany;
  readonly inSets: OneCompany;
  /** Of one operation; keys may repeat. One of the keys is {@link CANCELLED_KEY}: it is cancelled beforehand. */
  readonly set: fc.Arbitrary<readonly SetWrite[]>;
  /** The outcomes and problem codes that the long form must have come to: otherwise it has not compared them. */
  readonly outcomes: readonly string[];
  readonly numRuns: number;
  readonly limitMs: number;
};

const CANCELLED_KEY = 'key-7';

/**
 * Conformance 47: carries out random sets of writes, one by one in one database and together in the other, and compares
 * everything that they leave (`OneCompany.everything`): rows, stored bytes, audit rows and events.
 */
export async function expectSetsLikeSingleWrites(comparison: Comparison): Promise<void> {
  const { oneByOne, inSets, numRuns } = comparison;
  const isOver = timeLimit(comparison.limitMs);
  const setsBefore = inSets.sets;
  await fc.assert(
    fc.asyncProperty(fc.array(comparison.set, { minLength: 1, maxLength: 4 }), async (sets) => {
      if (isOver()) return;
      const run = randomUUID().slice(0, 8);
      for (const books of [oneByOne, inSets]) await books.cancel(`${CANCELLED_KEY}-${run}`);
      for (const writes of sets) await carryOut(comparison, writes, run);
      expect(await inSets.everything()).toEqual(await oneByOne.everything());
    }),
    { numRuns },
  );
  for (const books of [oneByOne, inSets]) expect(await brokenControls(books.owner)).toEqual({});
  expect(inSets.sets - setsBefore).toBeGreaterThan(numRuns / 2);
  const { rows } = await inSets.owner.query(
    `SELECT DISTINCT coalesce(convert_from(response_body, 'UTF8')::jsonb ->> 'code', outcome) AS outcome
     FROM idempotent_writes`,
  );
  const expected = inForm({ short: ['succeeded'], long: comparison.outcomes });
  expect(rows.map(({ outcome }) => outcome)).toEqual(expect.arrayContaining([...expected]));
}

async function carryOut({ oneByOne, inSets }: Comparison, writes: readonly SetWrite[], run: string): Promise<void> {
  // A second body under a key of the set goes after the set; so it does one by one.
  const members = writes.filter((one, index) => writes.findIndex(({ key }) => key === one.key) === index);
  const later = writes.filter((write) => !members.includes(write));
  for (const write of [...members, ...later]) await oneByOne.runAlone(argumentsOf(oneByOne, write, run));
  const items = members.map((write) => argumentsOf(inSets, write, run));
  const claimed = await inSets.runTogether(items);
  for (const item of items.filter(({ key }) => !claimed.has(key))) await inSets.runAlone(item);
  for (const write of later) await inSets.runAlone(argumentsOf(inSets, write, run));
}

function argumentsOf(books: OneCompany, write: SetWrite, run: string): WriteArguments {
  return books.argumentsOf({ ...write, key: `${write.key}-${run}` });
}

/** 25 keys, so that some of them meet again. */
export const keys = (): fc.Arbitrary<string> => fc.integer({ min: 0, max: 24 }).map((index) => `key-${index}`);

/** Nine times of ten the usual value. */
export function mostly<T>(usual: T, ...others: readonly T[]): fc.Arbitrary<T> {
  return fc.oneof({ weight: 9, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) });
}
