import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { ApiProblem } from '../http/problems.ts';
import { isOfType, type PlaceType } from './place-types.ts';

/**
 * A cursor is the position of a page's last item in its list, made opaque. A signature binds it to the list, the filters and
 * the company that it was made for, so that a cursor that was changed, truncated, used elsewhere or made by a client is
 * refused instead of misread. What can be read from a position, row-level security decides.
 */
export type Cursors = {
  encode(place: readonly string[], list: ListIdentity): string;
  /** Throws `validation_failed` for anything that `encode` did not make for this list, and for parts of other types. */
  decode(cursor: string, list: ListIdentity, types: readonly PlaceType[]): readonly string[];
};

export type ListIdentity = {
  readonly path: string;
  readonly companyId: string;
  readonly filters: Readonly<Record<string, unknown>>;
};

export type CursorKey = {
  readonly key: Buffer;
  /** On the clock of `performance.now()`: when cursors begin to be signed, and when those without a signature end. */
  readonly signedFromMs: number;
  readonly unsignedUntilMs: number;
};

export function createCursors({ key, signedFromMs, unsignedUntilMs }: CursorKey): Cursors {
  const signed = (place: readonly string[], list: ListIdentity) => {
    const signature = createHmac('sha256', key).update(contentOf(place, list)).digest('base64url');
    return assemble(signature.slice(0, SIGNATURE_LENGTH), place);
  };
  return {
    encode: (place, list) => (performance.now() < signedFromMs ? unsigned(place, list) : signed(place, list)),
    decode(cursor, list, types) {
      const [, ...place] = parse(cursor);
      // Encoded again and compared as a whole: both base64 and JSON have several spellings of the same value.
      const isOurs =
        isSame(cursor, signed(place, list)) ||
        (performance.now() < unsignedUntilMs && isSame(cursor, unsigned(place, list)));
      const isTyped = place.length === types.length && types.every((type, index) => isOfType(type, place[index] ?? ''));
      if (!isOurs || !isTyped) throw notACursor();
      return place;
    },
  };
}

/** The form of the releases before cursors were signed: anyone can compute its digest. */
function unsigned(place: readonly string[], list: ListIdentity): string {
  const digest = createHash('sha256').update(contentOf(place, list)).digest('base64url');
  return assemble(digest.slice(0, DIGEST_LENGTH), place);
}

function contentOf(place: readonly string[], { path, companyId, filters }: ListIdentity): string {
  const known = Object.entries(filters).filter(([, value]) => value !== undefined);
  const sorted = known.sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([path, companyId, sorted, place]);
}

function assemble(signature: string, place: readonly string[]): string {
  return Buffer.from(JSON.stringify([signature, ...place])).toString('base64url');
}

/** 96 bits, so that no change goes unnoticed by chance. */
const DIGEST_LENGTH = 16;
/** 132 bits, so that nobody guesses one. */
const SIGNATURE_LENGTH = 22;

/** Without telling by its duration how much of a signature is right. */
function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function parse(cursor: string): string[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(value) && value.every((part) => typeof part === 'string')) return value;
  } catch {
    // Not JSON: refused below.
  }
  throw notACursor();
}

function notACursor(): ApiProblem {
  const message = 'is not a cursor of this list with these filters; start again without it';
  return new ApiProblem('validation_failed', {
    detail: `The cursor ${message}.`,
    errors: [{ in: 'query', pointer: '/cursor', message }],
  });
}
