import fc from 'fast-check';
import { writeId } from '../../../activities/identity.ts';
import type { Operation } from '../../../activities/operation.ts';
import { OPERATIONS } from '../../../activities/operation-list.ts';
import { holdsOneOf, type Role } from '../../../activities/roles.ts';
import { COMPANY } from './company.ts';
import { LEDGER } from './ledger.ts';
import {
  type Actor,
  type Draw,
  type Expected,
  type Model,
  type ModelOperation,
  NOTHING,
  type Request,
} from './model.ts';
import { PAYROLL, STOCK } from './payroll.ts';
import { SALES } from './sales.ts';

const MODEL_OPERATIONS: Readonly<Record<string, ModelOperation>> = {
  ...SALES,
  ...LEDGER,
  ...PAYROLL,
  ...STOCK,
  ...COMPANY,
};

/** What chance decides of a step; what that comes to is read off the model when its turn comes. */
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
const NUMBERS = 16;

/** Every operation of the list: one that no model knows fails here. */
const step: fc.Arbitrary<RandomStep> = fc.record({
  operation: fc.oneof(
    ...OPERATIONS.map(({ name }) => ({ weight: modelOf(name).weight, arbitrary: fc.constant(name) })),
  ),
  actor: fc.constantFrom(...ACTORS),
  numbers: fc.array(fc.nat({ max: 9_999 }), { minLength: NUMBERS, maxLength: NUMBERS }),
  again: fc.constantFrom('never' as const, 'never' as const, 'same' as const, 'other body' as const),
});

export function randomSteps(minLength: number, maxLength: number): fc.Arbitrary<RandomStep[]> {
  // Small numbers mean nothing in particular here: a bias towards them would only make all runs alike.
  return fc.noBias(fc.array(step, { minLength, maxLength }));
}

/** A request as it is sent. */
export type Planned = {
  readonly operation: Operation;
  readonly actor: Actor;
  readonly request: Request;
  readonly path: string;
};

export function planned(model: Model, { operation: wanted, actor, numbers }: RandomStep): Planned {
  const name = doable(model, wanted, numbers.at(-1) ?? 0);
  const operation = OPERATIONS.find((one) => one.name === name);
  if (operation === undefined) throw new Error(`No operation ${name}`);
  const request = modelOf(name).request(model, drawFrom(numbers));
  const path = operation.path.replace(/:(\w+)/g, (_, param: string) => request.params?.[param] ?? '');
  return { operation, actor, request, path };
}

/** How the request is answered, the model being as it is; and what is so after it. */
export function expected(
  model: Model,
  companyId: string,
  key: string,
  { operation, actor, request }: Planned,
): Expected {
  const roles = model.members.get(actor);
  if (roles === undefined) return { status: 403, code: 'not_a_member' };
  if (!holdsOneOf(roles, operation.roles as readonly Role[])) return { status: 403, code: 'forbidden' };
  const id = writeId(companyId, operation.name, key);
  return modelOf(operation.name).expect(model, request, { operation: operation.name, id, actor });
}

/** Refused before there was a write: nothing is stored, and the same may be answered otherwise later. */
export function isAtTheDoor(model: Model, { operation, actor }: Planned): boolean {
  return !holdsOneOf(model.members.get(actor) ?? [], operation.roles as readonly Role[]);
}

/** What was wanted or, mostly, what has to be done first: else most requests would be for what is not there. */
function doable(model: Model, wanted: string, number: number): string {
  const first = number % 8 === 0 ? undefined : modelOf(wanted).first?.(model);
  return first === undefined ? wanted : doable(model, first, number);
}

function modelOf(name: string): ModelOperation {
  const model = MODEL_OPERATIONS[name];
  if (model === undefined) throw new Error(`The model of the books does not know ${name} (test/support/books-model)`);
  return model;
}

function drawFrom(numbers: readonly number[]): Draw {
  let drawn = 0;
  const next = () => {
    const number = numbers[drawn % numbers.length] ?? 0;
    drawn += 1;
    return number;
  };
  const pick: Draw['pick'] = (of) => {
    const one = of[next() % of.length];
    if (of.length === 0) throw new Error('Nothing to pick from');
    return one as (typeof of)[number];
  };
  return {
    nat: (below) => next() % below,
    pick,
    any(of, fits) {
      const fitting = fits === undefined || next() % 4 === 0 ? [] : [...of].filter(([, one]) => fits(one));
      const among = fitting.length > 0 ? fitting : [...of];
      return among.length === 0 || next() % 10 === 0 ? NOTHING : pick(among)[0];
    },
  };
}
