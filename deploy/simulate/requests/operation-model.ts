import { type Books, NOTHING, type Write } from './books.ts';
import type { Random } from './random.ts';

/** How to generate requests of one operation, and what they do to the books. */
export type OperationModel = {
  /** How often it is requested, relative to the others. */
  readonly weight: number;
  /** The operation that must come first while the books have nothing to work on. */
  prerequisite?(books: Books): string | undefined;
  request(books: Books, random: Random): Request;
  /** The expected answer in the current books. It does not change them; `apply` does. */
  answer(books: Books, request: Required<Request>, write: Write): Answer;
};

export type Request = {
  /** The parameter of the path, if it has one. */
  readonly target?: string;
  // biome-ignore lint/suspicious/noExplicitAny: each operation knows the body that it generated
  readonly body: any;
};

export type Answer = {
  readonly status: number;
  readonly code?: string;
  /** Refused with this code whichever other requests run, once the steps that it depends on are answered. */
  readonly isCertain?: true;
  /** Names of what it depends on besides the resources that the request itself names. */
  readonly restsOn?: readonly string[];
  /** Later requests that name one of these, or depend on it, wait for this write. Its own ID is always included. */
  readonly changes?: readonly string[];
  /** Changes the books as the success does. */
  apply?(): void;
  /** Of the document that the success makes, changes or takes back: what an approval policy looks at. */
  readonly total?: Total;
  /** What the policies ask for before it succeeds: it is answered 202, and waits. */
  readonly demands?: readonly Demand[];
};

/** Whichever its sign. */
export type Total = { readonly amount: bigint; readonly currency: string };

/** So many approvals by people who hold one of the roles. */
export type Demand = { readonly roles: readonly string[]; readonly count: number };

/** As `created` and `changed`, of a document with that total. */
export function over(total: Total): { readonly created: typeof created; readonly changed: typeof changed } {
  return {
    created: (...args) => ({ ...created(...args), total }),
    changed: (...args) => ({ ...changed(...args), total }),
  };
}

export function created(apply: () => void, ...changes: readonly string[]): Answer {
  return { status: 201, apply, changes };
}

export function changed(apply: () => void, ...changes: readonly string[]): Answer {
  return { status: 200, apply, changes };
}

/** Refused in the current books, which a concurrent request may change. */
export function refused(status: number, code: string): Answer {
  return { status, code };
}

/** Refused in any case: neither this check nor one before it reads anything that a concurrent request could change. */
export function refusedAnyway(status: number, code: string, ...restsOn: readonly string[]): Answer {
  return { status, code, isCertain: true, restsOn };
}

/** Waits for the previous request of the same name, even if that is refused, so that all of them run in one order. */
export function inOrder(answer: Answer, name: string): Answer {
  return { ...answer, restsOn: [...(answer.restsOn ?? []), name], changes: [name] };
}

/** The model of an operation on one existing resource, whose existence is the first check. */
export function workingOn<T>(
  all: (books: Books) => ReadonlyMap<string, T>,
  model: {
    readonly weight: number;
    /** Which resources it can work on. `madeBy`: the operation that creates one. */
    fits?(one: T): boolean;
    readonly madeBy: string;
    readonly notFound: readonly [status: number, code: string];
    body(one: T | undefined, id: string, books: Books, random: Random): Request['body'];
    answer(one: T, request: Required<Request>, books: Books, write: Write): Answer;
  },
): OperationModel {
  const { weight, fits = () => true, madeBy, notFound, body, answer } = model;
  return {
    weight,
    prerequisite: (books) => ([...all(books).values()].some(fits) ? undefined : madeBy),
    request(books, random) {
      const target = anyId(all(books), random, fits);
      return { target, body: body(all(books).get(target), target, books, random) };
    },
    answer(books, request, write) {
      const one = all(books).get(request.target);
      return one === undefined ? refusedAnyway(...notFound) : answer(one, request, books, write);
    },
  };
}

/** The ID of one of them, usually of one that fits; sometimes, or if there is none, an ID that does not exist. */
export function anyId<T>(
  of: ReadonlyMap<string, T>,
  { pick, unusual }: Random,
  fits: (one: T) => boolean = () => true,
): string {
  if (unusual(0.03)) return NOTHING;
  const fitting = unusual(0.06) ? [] : [...of].filter(([, one]) => fits(one));
  const among = fitting.length > 0 ? fitting : [...of];
  return among.length === 0 ? NOTHING : pick(among)[0];
}

/** A unique name with a new number; sometimes one that is already taken. */
export function uniqueName(
  { next }: Books,
  { pick, unusual }: Random,
  taken: readonly string[],
  name: (number: number) => string,
): string {
  return taken.length > 0 && unusual(0.06) ? pick(taken) : name(next());
}
