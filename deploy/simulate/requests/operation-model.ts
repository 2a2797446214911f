import { type Books, NOTHING, type Write } from './books.ts';
import type { Random } from './random.ts';

/** How requests of one operation are made, and what they do to the books. */
export type OperationModel = {
  /** How often it is requested, relative to the others. */
  readonly weight: number;
  /** While the books have nothing that it could work on: the operation that makes it. */
  prerequisite?(books: Books): string | undefined;
  request(books: Books, random: Random): Request;
  /** How the request is answered with the books as they are. It changes nothing: `apply` does. */
  answer(books: Books, request: Required<Request>, write: Write): Answer;
};

export type Request = {
  /** What it works on: the parameter of the path, where it has one. */
  readonly target?: string;
  // biome-ignore lint/suspicious/noExplicitAny: each operation knows the body that it has made
  readonly body: any;
};

export type Answer = {
  readonly status: number;
  readonly code?: string;
  /** Refused with this code whatever else is under way, once that is answered which the request names or rests on. */
  readonly isCertain?: true;
  /** What must have been answered before, though the request does not name it. */
  readonly restsOn?: readonly string[];
  /** What a later request that names it, or rests on it, must wait for. The write's own ID goes without saying. */
  readonly changes?: readonly string[];
  /** Does to the books what the success does. */
  apply?(): void;
};

export function created(apply: () => void, ...changes: readonly string[]): Answer {
  return { status: 201, apply, changes };
}

export function changed(apply: () => void, ...changes: readonly string[]): Answer {
  return { status: 200, apply, changes };
}

/** Refused with the books as they are: what is under way may change that. */
export function refused(status: number, code: string): Answer {
  return { status, code };
}

/** Refused whatever is under way: no check that comes before this one looks at anything that could change. */
export function refusedAnyway(status: number, code: string, ...restsOn: readonly string[]): Answer {
  return { status, code, isCertain: true, restsOn };
}

/** Waits for the answer before it of the same name, also for a refusal: all of them come in one order. */
export function inOrder(answer: Answer, name: string): Answer {
  return { ...answer, restsOn: [...(answer.restsOn ?? []), name], changes: [name] };
}

/** Of an operation that works on one thing of the books, and asks first whether it is there. */
export function workingOn<T>(
  all: (books: Books) => ReadonlyMap<string, T>,
  model: {
    readonly weight: number;
    /** Which things it can work on, and the operation that makes one. */
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

/** The ID of one of them, mostly of one that fits; of nothing, where there is none and now and then. */
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

/** What must be unique in these books, made of a new number; now and then one that is taken. */
export function uniqueName(
  { next }: Books,
  { pick, unusual }: Random,
  taken: readonly string[],
  name: (number: number) => string,
): string {
  return taken.length > 0 && unusual(0.06) ? pick(taken) : name(next());
}
