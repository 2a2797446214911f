import { createHmac, generateKeyPairSync } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { readApiConfig } from '../../api/config.ts';
import { createAuthenticate } from '../../api/http/auth.ts';
import { openKeySet } from '../../api/http/key-set.ts';

const COMPANY = '4d0c2e3a-7b1f-4e58-9c66-1a5b8f0d2e01';
const ours = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const theirs = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const keySet = { keys: [{ ...ours.publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256', use: 'sig' }] };

describe('tokens of an identity provider', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] }));
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

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

  /** Authenticates against a provider that answers so, until it is told to answer otherwise. */
  function authenticateWith(answer: () => Response, environment: Record<string, string> = {}) {
    const asked: string[] = [];
    const provider = { answer };
    vi.stubGlobal('fetch', async (url: string | URL) => {
      asked.push(String(url));
      return provider.answer();
    });
    const warnings: string[] = [];
    const logger = { warn: (_details: unknown, text?: string) => void warnings.push(text ?? '') };
    const keys = openKeySet('https://id.test/jwks.json', logger as never);
    onTestFinished(() => keys.close());
    const authenticate = createAuthenticate(
      readApiConfig({
        ...environment,
        DATABASE_URL: 'postgres://db/x',
        TEMPORAL_ADDRESS: 'temporal:7233',
        JWT_JWKS_URL: 'https://id.test/jwks.json',
        JWT_ISSUER: 'https://id.test',
        JWT_AUDIENCE: 'accubooks',
      }),
      { keySet: keys },
    );
    const present = (token: string) =>
      authenticate({ headers: { authorization: `Bearer ${token}` } } as unknown as FastifyRequest);
    return { asked, present, provider, keys, warnings };
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
    expect(new Set(asked)).toEqual(new Set(['https://id.test/jwks.json']));
  });

  const outages: Readonly<Record<string, () => Response>> = {
    'answers with an error': () => new Response('', { status: 503 }),
    'answers with no key set': () => Response.json({}),
    'answers with no JSON': () => new Response('<html>'),
    'sends elsewhere': () => new Response('', { status: 302, headers: { location: 'https://evil.test' } }),
    'cannot be reached': () => {
      throw new TypeError('fetch failed');
    },
  };
  const UNAVAILABLE = {
    code: 'authentication_unavailable',
    kind: { status: 503 },
    details: { headers: { 'retry-after': '15' } },
  };
  const MINUTE_MS = 60_000;

  describe.each(Object.entries(outages))('while the provider %s', (_name, outage) => {
    test('are not called false by a process that has never had an answer', async () => {
      const { present, keys, warnings } = authenticateWith(outage);
      await expect(present(await sign(claims()))).rejects.toMatchObject(UNAVAILABLE);
      expect(keys).toMatchObject({ state: 'unavailable', hasAnswered: false });
      expect(warnings).toEqual(['The keys of the identity provider cannot be fetched']);
    });

    test('of known keys are taken for an hour, and no longer', async () => {
      const { present, provider, keys } = authenticateWith(() => Response.json(keySet));
      await present(await sign(claims()));
      expect(keys.state).toBe('ok');
      provider.answer = outage;
      await vi.advanceTimersByTimeAsync(20 * MINUTE_MS);
      expect([keys.state, Math.round(keys.ageSeconds / 60)]).toEqual(['stale', 20]);
      // Another token than the one that is remembered.
      await present(await sign(claims({ jti: 'later' })));
      await vi.advanceTimersByTimeAsync(41 * MINUTE_MS);
      expect(keys).toMatchObject({ state: 'unavailable', hasAnswered: true });
      await expect(present(await sign(claims({ jti: 'too late' })))).rejects.toMatchObject(UNAVAILABLE);
    });

    test('of a key that it may have made since are not called false', async () => {
      const { present, provider } = authenticateWith(() => Response.json(keySet));
      await present(await sign(claims()));
      provider.answer = outage;
      await vi.advanceTimersByTimeAsync(MINUTE_MS);
      const unknown = await sign(claims(), theirs, { alg: 'ES256', kid: 'two' });
      await expect(present(unknown)).rejects.toMatchObject(UNAVAILABLE);
    });
  });

  test('are taken again as soon as the provider answers, without a request that asks for it', async () => {
    const { present, provider, keys } = authenticateWith(() => new Response('', { status: 503 }));
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    provider.answer = () => Response.json(keySet);
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(keys).toMatchObject({ state: 'ok', hasAnswered: true });
    await present(await sign(claims()));
  });

  test('of a new key are taken at once, and of a withdrawn one until the next fetch', async () => {
    const { present, provider } = authenticateWith(() => Response.json(keySet));
    await present(await sign(claims()));
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    const two = { ...theirs.publicKey.export({ format: 'jwk' }), kid: 'two', alg: 'ES256', use: 'sig' };
    provider.answer = () => Response.json({ keys: [two] });
    await present(await sign(claims(), theirs, { alg: 'ES256', kid: 'two' }));
    await expect(present(await sign(claims({ jti: 'withdrawn' })))).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  test('of unknown keys do not make the provider be asked for each of them', async () => {
    const { asked, present } = authenticateWith(() => Response.json(keySet));
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    const before = asked.length;
    for (let guess = 0; guess < 50; guess += 1) {
      const token = await sign(claims(), theirs, { alg: 'ES256', kid: `guess-${guess}` });
      await expect(present(token)).rejects.toMatchObject({ code: 'unauthenticated' });
    }
    expect(asked.length - before).toBe(1);
  });

  test('of another kind are refused where the provider marks its access tokens', async () => {
    const { present } = authenticateWith(() => Response.json(keySet), { JWT_TYP: 'at+jwt' });
    const withTyp = (typ?: string) =>
      sign(claims(), ours, { alg: 'ES256', kid: 'one', ...(typ === undefined ? {} : { typ }) });
    for (const typ of ['at+jwt', 'application/at+jwt', 'AT+JWT']) await present(await withTyp(typ));
    for (const typ of ['JWT', 'id+jwt', 'logout+jwt', undefined]) {
      await expect(present(await withTyp(typ))).rejects.toMatchObject({ code: 'unauthenticated' });
    }
  });
});
