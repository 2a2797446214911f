import type { FastifyRequest } from 'fastify';
import { errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose';
import { DAY_S } from '../../activities/durations.ts';
import { isUuid } from '../../activities/identity.ts';
import type { ApiConfig } from '../config.ts';
import type { KeySet } from './key-set.ts';
import { ApiProblem } from './problems.ts';
import type { SignInLimit } from './sign-in-limit.ts';

/** Whom the token names. Their roles are read from the database at each request. */
export type Caller = {
  readonly companyId: string;
  readonly subject: string;
  /** Set when the caller's membership has been read. */
  userId?: string;
};

export type Authenticate = (request: FastifyRequest) => Promise<Caller>;

const LEEWAY_S = 30;
export const MAX_TOKEN_LIFETIME_S = DAY_S;
const REMEMBERED_MS = 60_000;
const MAX_REMEMBERED_TOKENS = 10_000;
/** PostgreSQL's `text` cannot hold NUL. */
const SUBJECT = /^[^\0]{1,255}$/;

/**
 * Verifies `Authorization: Bearer <JWT>` (RFC 6750, RFC 7519): HS256 with our secret, or an asymmetric algorithm with the
 * configured key set. It never follows key hints in the token's header (`jku`, `x5u`, `jwk`).
 */
export function createAuthenticate(config: ApiConfig, { keySet, revoked }: Issuing = {}): Authenticate {
  const claimsOfRequest = reader(remembering(verifier(config, keySet, {})), revoked);
  return async (request) => {
    const claims = await claimsOfRequest(request);
    if (config.OPERATOR_AUDIENCE !== undefined && [claims.aud].flat().includes(config.OPERATOR_AUDIENCE)) {
      throw unauthenticated('This token is for operators alone.', 'audience_of_operators');
    }
    return callerOf(claims);
  };
}

/**
 * Verifies an operator's token: one with the audience `OPERATOR_AUDIENCE`, of no company. Returns its subject. Undefined where
 * there is no such audience.
 */
export function createOperatorAuthenticate(
  config: ApiConfig,
  { keySet, revoked }: Issuing = {},
): ((request: FastifyRequest) => Promise<string>) | undefined {
  const { OPERATOR_AUDIENCE: audience } = config;
  if (audience === undefined) return undefined;
  const claimsOfRequest = reader(verifier(config, keySet, { audience, requiredClaims: ['sub', 'exp'] }), revoked);
  return async (request) => {
    const claims = await claimsOfRequest(request);
    requireShortLife(claims);
    const { sub } = claims;
    if (typeof sub === 'string' && SUBJECT.test(sub)) return sub;
    throw unauthenticated('The token needs the claim sub, of at most 255 characters.', 'claims_invalid');
  };
}

/** The claims of the request's token. Throws `unauthenticated`. */
function reader(verify: Verify, revoked: Issuing['revoked']): (request: FastifyRequest) => Promise<JWTPayload> {
  return async (request) => {
    const header = request.headers.authorization;
    const token = /^Bearer ([A-Za-z0-9_.-]+)$/i.exec(header ?? '')?.[1];
    if (token === undefined) {
      const reason = header === undefined ? 'token_missing' : 'token_malformed';
      throw unauthenticated('Send the header Authorization: Bearer <JWT>.', reason);
    }
    let claims: JWTPayload;
    try {
      claims = await verify(token);
    } catch (error) {
      if (error instanceof errors.JOSEError) {
        throw unauthenticated(
          'The token is not valid: it has expired, comes from another issuer or is not signed with our key.',
          reasonOf(error),
          claimsOf(error),
        );
      }
      throw error;
    }
    // At each request, since a token is remembered.
    if (claims.jti !== undefined && revoked?.has(String(claims.jti)) === true) {
      throw unauthenticated('The token has been revoked.', 'token_revoked', claims);
    }
    return claims;
  };
}

/** What is known of the tokens that were issued. */
type Issuing = {
  /** Of the identity provider that `JWT_JWKS_URL` names. */
  readonly keySet?: Pick<KeySet, 'keyOf'> | undefined;
  readonly revoked?: { has(tokenId: string): boolean } | undefined;
};

function verifier(config: ApiConfig, keySet: Issuing['keySet'], own: JWTVerifyOptions): Verify {
  const options: JWTVerifyOptions = {
    clockTolerance: LEEWAY_S,
    requiredClaims: ['sub', 'company_id', 'exp'],
    ...(config.JWT_ISSUER === undefined ? {} : { issuer: config.JWT_ISSUER }),
    ...(config.JWT_AUDIENCE === undefined ? {} : { audience: config.JWT_AUDIENCE }),
    ...(config.JWT_TYP === undefined ? {} : { typ: config.JWT_TYP }),
    ...own,
  };
  if (config.JWT_SECRET !== undefined) {
    const bySecret = (text: string): Verify => {
      const secret = new TextEncoder().encode(text);
      return async (token) => (await jwtVerify(token, secret, { ...options, algorithms: ['HS256'] })).payload;
    };
    const verify = bySecret(config.JWT_SECRET);
    return config.JWT_SECRET_SECONDARY === undefined ? verify : eitherOf(verify, bySecret(config.JWT_SECRET_SECONDARY));
  }
  if (keySet === undefined) throw new Error('Bug! Neither a secret nor a key set');
  const algorithms = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'];
  return async (token) => (await jwtVerify(token, keySet.keyOf, { ...options, algorithms })).payload;
}

/** While a secret is being replaced, tokens of both are accepted. */
function eitherOf(first: Verify, second: Verify): Verify {
  return async (token) => {
    try {
      return await first(token);
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
      return second(token);
    }
  };
}

type Verify = (token: string) => Promise<JWTPayload>;

/**
 * A client sends one token with thousands of requests: its signature is checked once a minute, its expiry each time. A
 * key that the provider has withdrawn therefore works for up to a minute longer. Roles come from the database anyway.
 */
function remembering(verify: Verify): Verify {
  const verified = new Map<string, { readonly claims: JWTPayload; readonly untilMs: number }>();
  return async (token) => {
    const known = verified.get(token);
    if (known !== undefined && performance.now() < known.untilMs && !hasExpired(known.claims)) return known.claims;
    verified.delete(token);
    const claims = await verify(token);
    if (verified.size >= MAX_REMEMBERED_TOKENS) verified.clear();
    verified.set(token, { claims, untilMs: performance.now() + REMEMBERED_MS });
    return claims;
  };
}

function hasExpired({ exp = 0 }: JWTPayload): boolean {
  return nowS() >= exp + LEEWAY_S;
}

/** The clock by which the issuer has set `exp` and `iat`. */
function nowS(): number {
  // biome-ignore lint/plugin: a token names points in time.
  return Date.now() / 1000;
}

function requireShortLife(claims: JWTPayload): void {
  const { exp, iat } = claims;
  // An `iat` in the future must not extend the token's lifetime.
  const issuedAt = Math.min(iat ?? Number.POSITIVE_INFINITY, nowS() + LEEWAY_S);
  if (exp === undefined || exp - issuedAt > MAX_TOKEN_LIFETIME_S) {
    throw unauthenticated('A token may be valid for at most 24 hours.', 'token_too_long_lived', claims);
  }
}

function callerOf(claims: JWTPayload): Caller {
  requireShortLife(claims);
  const { sub, company_id: companyId } = claims;
  if (
    typeof sub !== 'string' ||
    !SUBJECT.test(sub) ||
    typeof companyId !== 'string' ||
    !isUuid(companyId.toLowerCase())
  ) {
    throw unauthenticated('The token needs the claims sub and company_id (a UUID).', 'claims_invalid');
  }
  return { companyId: companyId.toLowerCase(), subject: sub };
}

/** `reason` and `claims` are for the security log alone: the client is told no more than the detail. */
function unauthenticated(detail: string, reason = 'token_invalid', claims?: JWTPayload): ApiProblem {
  return new ApiProblem('unauthenticated', {
    detail,
    headers: { 'www-authenticate': 'Bearer realm="accubooks"' },
    refusedToken: { reason, claims },
  });
}

function reasonOf(error: errors.JOSEError): string {
  if (error instanceof errors.JWTExpired) return 'token_expired';
  if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSNoMatchingKey)
    return 'signature_invalid';
  if (error instanceof errors.JOSEAlgNotAllowed) return 'algorithm_not_allowed';
  if (error instanceof errors.JWTClaimValidationFailed) return 'claims_invalid';
  return 'token_malformed';
}

/** Signatures are verified before claims: what is refused for its expiry is signed. Another issuer's or audience's is not ours. */
function claimsOf(error: errors.JOSEError): JWTPayload | undefined {
  return error instanceof errors.JWTExpired ? error.payload : undefined;
}

/**
 * Refuses bad tokens from an address that has sent too many: 429 instead of 401. `authenticate` is asked first, so that a
 * valid token always passes. A request without a token, or with one that we have signed, guesses at nothing and is not counted.
 */
export function limitingFailures<T>(
  authenticate: (request: FastifyRequest) => Promise<T>,
  limit: SignInLimit,
): (request: FastifyRequest) => Promise<T> {
  return async (request) => {
    try {
      return await authenticate(request);
    } catch (error) {
      const refusedToken = error instanceof ApiProblem ? error.details.refusedToken : undefined;
      if (refusedToken === undefined || refusedToken.reason === 'token_missing') throw error;
      // One that was signed for us guesses at nothing: a client that goes on with an expired token needs its 401.
      if (refusedToken.claims !== undefined) throw error;
      const waitS = limit.fail(request.address);
      if (waitS === undefined) throw error;
      throw new ApiProblem('too_many_failed_sign_ins', {
        detail: 'Too many tokens from this address were refused. A valid one is accepted at any time.',
        headers: { 'retry-after': String(waitS) },
        refusedToken,
      });
    }
  };
}
