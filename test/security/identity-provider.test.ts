import { generateKeyPairSync } from 'node:crypto';
import { SignJWT } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { createApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';

const PROVIDER = 'https://id.test/jwks.json';
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const KEYS = { keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256', use: 'sig' }] };

/** Its keys in time: test/static/key-set.test.ts. Here, what clients and probes see of an outage. */
describe('an outage of the identity provider', () => {
  let system: System;
  let company: Company;
  let answer: () => Response;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
  });
  afterEach(() => vi.unstubAllGlobals());
  afterAll(() => system.stop());

  test('is told as 503 and not as a fault of the token, counted, and ends by itself', async () => {
    const real = globalThis.fetch;
    answer = () => new Response('', { status: 502 });
    vi.stubGlobal('fetch', async (url: string, init?: RequestInit) => (url === PROVIDER ? answer() : real(url, init)));
    const { url } = await system.another({
      environment: {
        ...{ JWT_SECRET: '', JWT_JWKS_URL: PROVIDER },
        ...{ JWT_ISSUER: 'https://id.test', JWT_AUDIENCE: 'accubooks' },
      },
    });
    const nowS = Math.floor(Date.now() / 1000);
    const token = await new SignJWT({ company_id: company.id })
      .setProtectedHeader({ alg: 'ES256', kid: 'one' })
      .setSubject(company.users.owner.id)
      .setIssuer('https://id.test')
      .setAudience('accubooks')
      .setIssuedAt(nowS)
      .setExpirationTime(nowS + 600)
      .sign(pair.privateKey);
    const client = createApiClient(url, token);

    const refused = await client.post('/api/customers', { name: 'Waiting' }, { key: 'waiting' });
    expect(refused).toMatchObject({
      status: 503,
      json: { code: 'authentication_unavailable', retryable: true, nextAction: 'retry_same_key' },
    });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    const ready = await real(`${url}/readyz`);
    expect([ready.status, await ready.json()]).toMatchObject([503, { checks: { authentication: 'unavailable' } }]);
    const page = await (await real(`${url}/metrics`)).text();
    expect(page).toMatch(/^http_problems_total\{code="authentication_unavailable"\} 1$/m);
    expect(page).toMatch(/^http_problems_total\{code="internal_error"\} 0$/m);
    expect(page).toMatch(/^authentication_keys_age_seconds \d/m);

    answer = () => Response.json(KEYS);
    await until('it to be ready', async () => (await real(`${url}/readyz`)).status === 200);
    expect((await client.post('/api/customers', { name: 'Waiting' }, { key: 'waiting' })).status).toBe(201);

    // The known key goes on.
    answer = () => new Response('', { status: 502 });
    expect((await client.get('/api/me')).status).toBe(200);
    expect((await real(`${url}/readyz`)).status).toBe(200);
  });
});
