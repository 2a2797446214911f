import { limitTime, unlessAborted } from './time-limit.ts';

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
/** Between two renewals while the last token is still good. */
const BETWEEN_RENEWALS_MS = 5_000;

export function tokenOf(source: TokenSource): Token {
  let current: Current | undefined;
  let renewal: Promise<string> | undefined;
  let renewAgainAt = 0;
  let company: string | undefined;

  const renew = async () => {
    const token = await source();
    if (typeof token !== 'string' || token.trim() === '') throw new TypeError('The token source returned no token.');
    requireToken(token.trim());
    requireCompany(companyOf(token));
    current = currentOf(token.trim());
    return current.token;
  };
  /** The company of the first token: the calls of one client do not go to two companies. */
  const requireCompany = (companyId: string | undefined) => {
    company ??= companyId;
    if (companyId !== company) throw new Error('The new token is of another company.');
  };
  const renewed = () => {
    renewal ??= inTime(renew()).finally(() => {
      renewal = undefined;
    });
    return renewal;
  };
  return {
    get() {
      // biome-ignore lint/plugin: a token tells its end by the time of day
      const now = Date.now();
      if (current === undefined || now >= current.endMs) return renewed();
      if (now >= current.renewAtMs && performance.now() >= renewAgainAt) {
        renewAgainAt = performance.now() + BETWEEN_RENEWALS_MS;
        // Nobody waits for it, and a source that fails now does no harm yet.
        renewed().catch(() => undefined);
      }
      return Promise.resolve(current.token);
    },
    refuse(token) {
      // Whoever has sent an earlier one may learn of it late.
      if (current?.token === token) current = undefined;
    },
  };
}

/** A source that hangs once is asked again later. */
async function inTime(renewal: Promise<string>): Promise<string> {
  const { signal, end } = limitTime(LONGEST_RENEWAL_MS, undefined);
  try {
    return await unlessAborted(renewal, signal);
  } finally {
    end();
  }
}

const LONGEST_RENEWAL_MS = 30_000;

type Current = {
  readonly token: string;
  /** In milliseconds since the epoch, by its claim `exp`; never if it has none. */
  readonly endMs: number;
  readonly renewAtMs: number;
};

function currentOf(token: string): Current {
  const exp = claimsOf(token)?.['exp'];
  if (typeof exp !== 'number') return { token, endMs: Number.POSITIVE_INFINITY, renewAtMs: Number.POSITIVE_INFINITY };
  const endMs = exp * 1_000;
  // biome-ignore lint/plugin: a token tells its end by the time of day
  const now = Date.now();
  return { token, endMs, renewAtMs: Math.max(endMs - RENEW_BEFORE_END_MS, now + (endMs - now) * RENEW_AFTER_PART) };
}

/** Throws a TypeError for what cannot stand in a header. */
export function requireToken(token: string): void {
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token))
    throw new TypeError('A token is printable ASCII characters without spaces.');
}

/** The company of a JWT; undefined for a token that does not say it. */
export function companyOf(token: string): string | undefined {
  const companyId = claimsOf(token)?.['company_id'];
  return typeof companyId === 'string' ? companyId : undefined;
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
