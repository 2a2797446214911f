import { createHash } from 'node:crypto';
import { ApiProblem } from '../http/problems.ts';

/**
 * A cursor is the position of a page's last item in its list, made opaque. A digest binds it to the list, the filters and
 * the company that it was made for, so that a cursor that was changed, truncated or used elsewhere is refused instead of
 * misread. The digest is not a secret: row-level security decides what can be read from a position.
 */
export type ListIdentity = {
  readonly path: string;
  readonly companyId: string;
  readonly filters: Readonly<Record<string, unknown>>;
};

export function encodeCursor(place: readonly string[], list: ListIdentity): string {
  return Buffer.from(JSON.stringify([digest(place, list), ...place])).toString('base64url');
}

/** Throws `validation_failed` for anything that {@link encodeCursor} did not make for this list. */
export function decodeCursor(cursor: string, list: ListIdentity): readonly string[] {
  const [, ...place] = parse(cursor);
  // Encoded again and compared as a whole: both base64 and JSON have several spellings of the same value.
  if (encodeCursor(place, list) !== cursor) throw notACursor();
  return place;
}

function digest(place: readonly string[], { path, companyId, filters }: ListIdentity): string {
  const known = Object.entries(filters).filter(([, value]) => value !== undefined);
  const sorted = known.sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([path, companyId, sorted, place]))
    .digest('base64url')
    .slice(0, DIGEST_LENGTH);
}

/** 96 bits, so that no change goes unnoticed by chance. */
const DIGEST_LENGTH = 16;

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
