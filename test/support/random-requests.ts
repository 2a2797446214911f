import fc from 'fast-check';
import { type Actor, type Books, emptyBooks } from '../../deploy/simulate/requests/books.ts';
import {
  type GeneratedRequest,
  generateRequest,
  nextOperation,
  OPERATION_WEIGHTS,
} from '../../deploy/simulate/requests/generate.ts';
import { createRandom } from '../../deploy/simulate/requests/random.ts';

/** What chance decides of a request; what that comes to follows from the books when its turn comes. */
export type RandomStep = {
  readonly operation: string;
  readonly actor: Actor;
  readonly numbers: readonly number[];
  /** Sent a second time under its key, as it was or with another body. */
  readonly again: 'never' | 'same' | 'other body';
};

const ACTORS: readonly Actor[] = [
  ...Array<Actor>(8).fill('owner'),
  'admin',
  'admin',
  'accountant',
  'manager',
  'newcomer',
];
const NUMBERS = 24;
/** Against the simulator: refusals are what these requests are for, as much as successes. */
const UNUSUAL_FACTOR = 4;

const step: fc.Arbitrary<RandomStep> = fc.record({
  operation: fc.oneof(...OPERATION_WEIGHTS.map(([name, weight]) => ({ weight, arbitrary: fc.constant(name) }))),
  actor: fc.constantFrom(...ACTORS),
  numbers: fc.array(fc.nat({ max: 99_999 }), { minLength: NUMBERS, maxLength: NUMBERS }),
  again: fc.constantFrom('never' as const, 'never' as const, 'same' as const, 'other body' as const),
});

export function randomSteps(minLength: number, maxLength: number): fc.Arbitrary<RandomStep[]> {
  // Small numbers mean nothing in particular here: a bias towards them would only make all runs alike.
  return fc.noBias(fc.array(step, { minLength, maxLength }));
}

/** Of a company that has one member of each of these roles, and a newcomer who is no member. */
export function newBooks(companyId: string, userIds: Readonly<Record<Actor, string>>): Books {
  return emptyBooks({
    companyId,
    userIds,
    members: { owner: 'owner', admin: 'admin', accountant: 'accountant', manager: 'manager' },
    limits: {
      closings: ['2026-01-31', '2026-02-10', '2025-12-31', '2026-01-10', null],
      isSequential: true,
      tolerances: [null, 100, 1_000],
      changing: ['newcomer', 'newcomer', 'manager', 'owner'],
    },
  });
}

export function requestOf(books: Books, { operation, actor, numbers }: RandomStep): GeneratedRequest {
  let drawn = 0;
  const next = () => {
    drawn += 1;
    return numbers[drawn % numbers.length] ?? 0;
  };
  const random = createRandom(next, UNUSUAL_FACTOR);
  return generateRequest(books, nextOperation(books, operation, random), actor, random);
}
