import { createHmac, generateKeyPairSync } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { readApiConfig } from '../../api/config.ts';
import { createAuthenticate } from '../../api/http/auth.ts';
import { ApiProblem } from '../../api/http/problems.ts';

const COMPANY = '4d0c2e3a-7b1f-4e58-9c66-1a5b8f0d2e01';
const ours = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const theirs = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const keySet = { keys: [{ ...ours.publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256', use: 'sig' }] };

describe('tokens of an identity provider', () => {
  afterEach(() => vi.unstubAllGlobals());

  const NOW_S = Math.floor(Date.now() / 1000);
  const claims = (change: JWTPayload = {}): JWTPayload => ({
    sub: 'auth0|someone',
    company_id: COMPANY,
    iss: 'https://id.test',
    aud: 'accubooks',
    iat: NOW_S,
    exp: NOW_S + 600,
    ...change,
  });
  const sign = (
    payload: JWTPayload,
    { privateKey } = ours,
    header: JWTHeaderParameters = { alg: 'ES256', kid: 'one' },
  ) => new SignJWT(payload).setProtectedHeader(header).sign(privateKey);

  /** Authenticates against a provider that answers so; the URL is the configured one, or it is no answer. */
  function authenticateWith(answer: () => Response) {
    const asked: string[] = [];
    vi.stubGlobal('fetch', async (url: string | URL) => {
      asked.push(String(url));
      return answer();
    });
    const authenticate = createAuthenticate(
      readApiConfig({
        DATABASE_URL: 'postgres://db/x',
        TEMPORAL_ADDRESS: 'temporal:7233',
        JWT_JWKS_URL: 'https://id.test/jwks.json',
        JWT_ISSUER: 'https://id.test',
        JWT_AUDIENCE: 'accubooks',
      }),
    );
    const present = (token: string) =>
      authenticate({ headers: { authorization: `Bearer ${token}` } } as unknown as FastifyRequest);
    return { asked, present };
  }

  test('are verified by its key set, and name whom they say', async () => {
    const { asked, present } = authenticateWith(() => Response.json(keySet));
    expect(await present(await sign(claims()))).toEqual({ companyId: COMPANY, subject: 'auth0|someone' });
    expect(asked).toEqual(['https://id.test/jwks.json']);
  });

  const forged: Readonly<Record<string, () => Promise<string> | string>> = {
    'signed by another key': () => sign(claims(), theirs),
    'signed by a key that is not in the set': () => sign(claims(), theirs, { alg: 'ES256', kid: 'two' }),
    'of another issuer': () => sign(claims({ iss: 'https://evil.test' })),
    'for another audience': () => sign(claims({ aud: 'other' })),
    'that bring their own key': () =>
      sign(claims(), theirs, {
        alg: 'ES256',
        kid: 'one',
        jku: 'https://evil.test/jwks.json',
        jwk: theirs.publicKey.export({ format: 'jwk' }) as never,
      }),
    'signed with the public key as if it were a shared secret': () => {
      const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const signed = `${encode({ alg: 'HS256', kid: 'one' })}.${encode(claims())}`;
      const secret = ours.publicKey.export({ format: 'pem', type: 'spki' });
      return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
    },
  };
  test.each(Object.entries(forged))('are refused when they are %s', async (_name, make) => {
    const { asked, present } = authenticateWith(() => Response.json(keySet));
    await expect(present(await make())).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(new Set([...asked, 'https://id.test/jwks.json'])).toEqual(new Set(['https://id.test/jwks.json']));
  });

  const outages: Readonly<Record<string, () => Response>> = {
    'answers with an error': () => new Response('', { status: 503 }),
    'answers with no key set': () => Response.json({}),
    'cannot be reached': () => {
      throw new TypeError('fetch failed');
    },
  };
  test.each(Object.entries(outages))('are not called false when the provider %s', async (_name, answer) => {
    const { present } = authenticateWith(answer);
    const refused = await present(await sign(claims())).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Error);
    expect(refused).not.toBeInstanceOf(ApiProblem);
  });
});
