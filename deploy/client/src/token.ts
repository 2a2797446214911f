/**
 * Returns a bearer token. It is called when there is none yet, when the last one is about to end, and when the service has
 * refused it; not for each request.
 */
export type TokenSource = () => string | Promise<string>;

/** A token that is renewed before it ends, and whoever asks meanwhile waits for the same renewal. */
export type Token = {
  get(): Promise<string>;
  /** The service has refused this token (401): the next {@link Token.get} asks the source for another one. */
  refuse(token: string): void;
};

/** The token is renewed so long before it ends: longer than any request is under way, plus a clock that is a minute off. */
const RENEW_BEFORE_END_MS = 150_000;
/** Of the lifetime, for tokens that live only a few minutes. */
const RENEW_AFTER_PART = 0.8;

export function tokenOf(source: TokenSource): Token {
    let current: { readonly token: string; readonly renewAtMs: number } | undefined;
  let renewal: Promise<string> | undefined;
  let refused: string | undefined;

  const renew = async () => {
    const token = await source();
    if (typeof token !== 'string' || token.trim() === '') throw new TypeError('The token source returned no token.');
    current = { token: token.trim(), renewAtMs: renewalOf(token) };
    return current.token;
  };
  return {
    get() {
      if (current !== undefined && Date.now() < current.renewAtMs && current.token !== refused) {
        return Promise.resolve(current.token);
      }
      renewal ??= renew().finally(() => {
        renewal = undefined;
      });
      return renewal;
    },
    refuse(token) {
      refused = token;
    },
  };
}

/** When the token should be renewed, in milliseconds since the epoch: by its claim `exp`; never if it has none. */
function renewalOf(token: string): number {
  const exp = claimsOf(token)?.['exp'];
  if (typeof exp !== 'number') return Number.POSITIVE_INFINITY;
  const endMs = exp * 1_000;
  const now = Date.now();
  return Math.max(endMs - RENEW_BEFORE_END_MS, now + (endMs - now) * RENEW_AFTER_PART);
}

/** The claims of a JWT, unverified: they only tell the client when to ask for the next one. */
function claimsOf(token: string): Record<string, unknown> | undefined {
  const payload = token.split('.')[1];
  if (payload === undefined) return undefined;
  try {
    const base64 = payload.replaceAll('-', '+').replaceAll('_', '/');
    return JSON.parse(atob(base64)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
