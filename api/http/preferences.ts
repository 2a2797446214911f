/** The client's `Prefer` header (RFC 7240): how long to wait for the outcome, and what to answer when it takes longer. */
export type Preferences = {
  readonly waitMs: number;
  /** No waiting at all (`wait=0`): a duplicate of a running write is answered 409. */
  readonly strict: boolean;
  /** The value of `Preference-Applied`, where a preference was used. */
  readonly applied: string | undefined;
};

const DEFAULT_WAIT_S = 10;
const MAX_WAIT_S = 60;

/** An unusable preference is ignored, and the first of several with one name counts (RFC 7240, section 2). */
export function readPreferences(header: string | readonly string[] | undefined): Preferences {
  const preferences = new Map<string, string>();
  for (const preference of [header ?? []].flat().join(',').split(',')) {
    // Split rather than matched: one regular expression for all of it takes cubic time on a header of spaces.
    const [name = '', ...value] = (preference.split(';')[0] ?? '').split('=').map((part) => part.trim());
    if (name !== '' && !preferences.has(name.toLowerCase()))
      preferences.set(name.toLowerCase(), unquote(value.join('=')));
  }
  const respondAsync = preferences.get('respond-async') === '';
  const wait = readSeconds(preferences.get('wait'));
  const applied = [respondAsync ? 'respond-async' : '', wait === undefined ? '' : `wait=${wait}`]
    .filter(Boolean)
    .join(', ');
  return {
    waitMs: (wait ?? (respondAsync ? 0 : DEFAULT_WAIT_S)) * 1000,
    strict: wait === 0 && !respondAsync,
    applied: applied === '' ? undefined : applied,
  };
}

function unquote(value: string): string {
  return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}

function readSeconds(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,9}$/.test(value) ? Math.min(Number(value), MAX_WAIT_S) : undefined;
}
