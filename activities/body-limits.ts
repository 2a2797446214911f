/** Of one write's body as JSON in UTF-8, however it was sent. */
export const MAX_BODY_BYTES = 1024 * 1024;
export const BODY_TOO_LARGE = 'A body may be at most 1 MiB long.';

/**
 * How deep arrays and objects may be nested in a body. Validation, canonical JSON and the comparison of requests recurse,
 * and would exhaust the stack at a few thousand levels. The deepest body of any operation has fewer than ten; the rest is for
 * the payloads of triggered workflows.
 */
export const MAX_BODY_DEPTH = 32;
export const BODY_TOO_DEEP = `must be nested at most ${MAX_BODY_DEPTH} levels deep`;

/** Looks at a parsed value, no deeper than the limit. `JSON.parse` itself does not recurse. */
export function isNestedTooDeep(value: unknown, levels = MAX_BODY_DEPTH): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((member) => isNestedTooDeep(member, levels - 1));
}
