import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import type { Logger } from 'pino';
import { ApiProblem } from './problems.ts';

/** `stale`: the provider does not answer, and the keys that are known are used. `unavailable`: there are none to use. */
type KeySetState = 'ok' | 'stale' | 'unavailable';

/** The public keys with which the identity provider signs its tokens (RFC 7517). */
export type KeySet = {
  readonly state: KeySetState;
  /** Whether the provider has ever answered this process. */
  readonly hasAnswered: boolean;
  /** Since the provider has answered; before it has, since the process has asked for the first time. */
  readonly ageSeconds: number;
  /** Throws `authentication_unavailable` where nothing can be said of the token. */
  readonly keyOf: JWTVerifyGetKey;
  close(): void;
};

const REFRESHED_EVERY_MS = 5 * 60_000;
const RETRIED_EVERY_MS = 15_000;
/** Several attempts have failed. */
const STALE_AFTER_MS = 10 * 60_000;
/** An outage of the provider must not be one of ours; but a key that it withdraws must not be used for ever. */
const KEPT_FOR_MS = 60 * 60_000;
const FETCH_LIMIT_MS = 5_000;
/** A token may name any key: it makes the provider be asked only so often. */
const ASKED_AT_MOST_EVERY_MS = 30_000;
const RETRY_AFTER_S = String(RETRIED_EVERY_MS / 1000);
/** Of the key set, not of the token. */
const KEY_SET_FAULTS = new Set(['ERR_JWKS_INVALID', 'ERR_JOSE_GENERIC']);

/** Begins to fetch the keys, and keeps them fresh, whether or not there are requests. */
export function openKeySet(url: string, logger: Pick<Logger, 'warn'>): KeySet {
  const openedMs = performance.now();
  let keys: JWTVerifyGetKey | undefined;
  let fetchedMs: number | undefined;
  let askedMs = openedMs;
  let hasFailed = false;
  let fetching: Promise<void> | undefined;
  let next: NodeJS.Timeout | undefined;
  let closed = false;

  async function fetchKeys(): Promise<void> {
    askedMs = performance.now();
    try {
      keys = createLocalJWKSet(await download(url));
      fetchedMs = performance.now();
      hasFailed = false;
    } catch (error) {
      hasFailed = true;
      logger.warn({ err: error }, 'The keys of the identity provider cannot be fetched');
    }
    clearTimeout(next);
    if (!closed) next = setTimeout(() => void refresh(), hasFailed ? RETRIED_EVERY_MS : REFRESHED_EVERY_MS).unref();
  }

  function refresh(): Promise<void> {
    fetching ??= fetchKeys().finally(() => {
      fetching = undefined;
    });
    return fetching;
  }

  const ageMs = () => performance.now() - (fetchedMs ?? openedMs);
  const usable = () => (fetchedMs === undefined || ageMs() > KEPT_FOR_MS ? undefined : keys);
  void refresh();

  return {
    get state() {
      if (usable() === undefined) return 'unavailable';
      return ageMs() > STALE_AFTER_MS ? 'stale' : 'ok';
    },
    get hasAnswered() {
      return fetchedMs !== undefined;
    },
    get ageSeconds() {
      return ageMs() / 1000;
    },
    async keyOf(header, token) {
      // The first requests wait for the first answer; later ones for none.
      if (usable() === undefined) await fetching;
      const known = usable();
      if (known === undefined) throw unavailable();
      try {
        return await known(header, token);
      } catch (error) {
        if (!(error instanceof errors.JOSEError) || KEY_SET_FAULTS.has(error.code)) throw unavailable();
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      }
      // A key that is newer than our answer, or none of the provider's.
      if (fetching !== undefined || performance.now() - askedMs >= ASKED_AT_MOST_EVERY_MS) await refresh();
      if (hasFailed) throw unavailable();
      return (usable() ?? known)(header, token);
    },
    close() {
      closed = true;
      clearTimeout(next);
    },
  };
}

async function download(url: string): Promise<JSONWebKeySet> {
  const answer = await fetch(url, {
    signal: AbortSignal.timeout(FETCH_LIMIT_MS),
    redirect: 'manual',
    headers: { accept: 'application/jwk-set+json, application/json' },
  });
  if (answer.status !== 200) throw new Error(`The answer was ${answer.status}`);
  return (await answer.json()) as JSONWebKeySet;
}

function unavailable(): ApiProblem {
  return new ApiProblem('authentication_unavailable', {
    detail: 'The identity provider does not answer, so the token cannot be checked. Send the request again.',
    headers: { 'retry-after': RETRY_AFTER_S },
  });
}
