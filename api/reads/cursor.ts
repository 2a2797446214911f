import { createHash } from 'node:crypto';
import { ApiProblem } from '../http/problems.ts';

/**
 * A cursor is the place of the last item of a page in its list, made opaque. The digest binds it to the list, the
 * filters and the company that it was made for. It is no secret: a place may be known, row-level security decides what
 * is read from there. It is there so that a cursor that was changed, cut or taken elsewhere is told and not misread.
 */
export type ListIdentity = {
  readonly path: string;
  readonly companyId: string;
  readonly filters: Readonly<Record<string, unknown>>;
};

export function encodeCursor(place: readonly string[], list: ListIdentity): string {
  return Buffer.from(JSON.stringify([digest(place, list), ...place])).toString('base64url');
}

/** Throws `validation_failed` for anything that {@link encodeCursor} has not made for this list. */
export function decodeCursor(cursor: string, list: ListIdentity): readonly string[] {
  const [, ...place] = parse(cursor);
  // Made again and compared as a whole: base64 has several spellings of the same bytes, and JSON of the same values.
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

/** 96 bits: no change goes unnoticed by chance. */
const DIGEST_LENGTH = 16;

function parse(cursor: string): string[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(value) && value.every((part) => typeof part === 'string')) return value;
  } catch {
    // No JSON: told below.
  }
  throw notACursor();
}

function notACursor(): ApiProblem {
  const message = 'is no cursor of this list with these filters: begin again without it';
  return new ApiProblem('validation_failed', {
    detail: `The cursor ${message}.`,
    errors: [{ in: 'query', pointer: '/cursor', message }],
  });
}
