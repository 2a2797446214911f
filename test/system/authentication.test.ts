import { createHmac, generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEverything } from '../support/effects.ts';
import { holdKeys } from '../support/held-keys.ts';
import { type System, startSystem } from '../support/system.ts';
import { JWT_SECRET, signToken } from '../support/tokens.ts';

const NOW_S = Math.floor(Date.now() / 1000);
const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('who may write', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
  });
  afterAll(() => system.stop());

  const body = { name: 'Authenticated' };
  const everything = () => countEverything(system.owner, company.id);
  const claims = (change: JWTPayload = {}): JWTPayload => ({
    sub: company.users.owner.id,
    company_id: company.id,
    iat: NOW_S,
    exp: NOW_S + HOUR_S,
    ...change,
  });
  const sign = (payload: JWTPayload, header: JWTHeaderParameters = { alg: 'HS256' }, secret = JWT_SECRET) =>
    new SignJWT(payload).setProtectedHeader(header).sign(new TextEncoder().encode(secret));
  const sendAs = (token: string, key: string = randomUUID()) =>
    createApiClient(system.url, token).post('/api/customers', body, { key });

  async function expectUnauthenticated(authorization: string): Promise<void> {
    const before = await everything();
    const answer = await company.api.post('/api/customers', body, { headers: { authorization } });
    expect([answer.status, answer.json.code, answer.json.nextAction]).toEqual([401, 'unauthenticated', 'fix_request']);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="accubooks"');
    expect(await everything()).toEqual(before);
  }

  test('not a request without a bearer token', async () => {
    const token = company.users.owner.token;
    for (const authorization of [
      '',
      'Bearer',
      'Bearer ',
      token,
      `Basic ${token}`,
      `Bearer ${token} ${token}`,
      'Bearer a.b.c',
    ]) {
      await expectUnauthenticated(authorization);
    }
    const without = await fetch(`${system.url}/api/customers`, { method: 'POST', body: '{}' });
    expect(without.status).toBe(401);
  });

  const forged: Readonly<Record<string, () => Promise<string> | string>> = {
    'without a signature': () => `${encode({ alg: 'none' })}.${encode(claims())}.`,
    'with another algorithm of the same secret': () => sign(claims(), { alg: 'HS512' }),
    'signed with another secret': () => sign(claims(), { alg: 'HS256' }, 'another-secret-of-thirty-two-bytes-and-more'),
    'signed with an empty secret’s guess': () => sign(claims(), { alg: 'HS256' }, 'secret'.repeat(6)),
    'with a signature of an asymmetric key': () =>
      new SignJWT(claims())
        .setProtectedHeader({ alg: 'RS256' })
        .sign(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey),
    'with claims changed after signing': async () => {
      const [header, , signature] = (await sign(claims())).split('.');
      return `${header}.${encode(claims({ company_id: randomUUID() }))}.${signature}`;
    },
    'that has expired beyond the leeway': () => sign(claims({ exp: NOW_S - 60 })),
    'that is not valid yet': () => sign(claims({ nbf: NOW_S + 300 })),
    'that never expires': () => sign({ sub: company.users.owner.id, company_id: company.id, iat: NOW_S }),
    'that lives longer than a day': () => sign(claims({ exp: NOW_S + DAY_S + 60 })),
    'that lives longer than a day since it was issued': () => sign(claims({ iat: NOW_S - DAY_S })),
    'that lives longer than a day, issued in the future': () =>
      sign(claims({ iat: NOW_S + 30 * DAY_S, exp: NOW_S + 30 * DAY_S + HOUR_S })),
    'that lives longer than a day, issued at no time': () =>
      sign({ sub: company.users.owner.id, company_id: company.id, exp: NOW_S + 2 * DAY_S }),
    'without a subject': () => sign({ company_id: company.id, iat: NOW_S, exp: NOW_S + HOUR_S }),
    'with an empty subject': () => sign(claims({ sub: '' })),
    'with a subject that no database can hold': () => sign(claims({ sub: 'a\0b' })),
    'with a subject that is no text': () => sign(claims({ sub: 7 as unknown as string })),
    'without a company': () => sign({ sub: company.users.owner.id, iat: NOW_S, exp: NOW_S + HOUR_S }),
    'with a company that is no UUID': () => sign(claims({ company_id: 'acme' })),
    'with several companies': () => sign(claims({ company_id: [company.id] })),
    'that demands what the server does not know': () => {
      const signed = `${encode({ alg: 'HS256', crit: ['quota'], quota: 1 })}.${encode(claims())}`;
      return `${signed}.${createHmac('sha256', JWT_SECRET).update(signed).digest('base64url')}`;
    },
  };
  test.each(Object.entries(forged))('not a token %s', async (_name, make) => {
    await expectUnauthenticated(`Bearer ${await make()}`);
  });

  test('a token within the leeway, of exactly a day, or with its company in upper case', async () => {
    for (const payload of [
      claims({ iat: NOW_S - HOUR_S, exp: NOW_S - 5 }),
      claims({ exp: NOW_S + DAY_S }),
      claims({ company_id: company.id.toUpperCase() }),
    ]) {
      expect((await sendAs(await sign(payload))).status).toBe(201);
    }
  });

  test('key hints in a token’s header are not followed', async () => {
    let asked = false;
    const server = createServer((_request, response) => {
      asked = true;
      response.end('{"keys":[]}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const jku = `http://127.0.0.1:${port}/jwks.json`;
    const jwk = { kty: 'oct', k: Buffer.from('a-key-that-came-with-the-token-itself!!').toString('base64url') };
    try {
      expect((await sendAs(await sign(claims(), { alg: 'HS256', jku, x5u: jku }))).status).toBe(201);
      const own = await sign(claims(), { alg: 'HS256', jku, jwk }, 'a-key-that-came-with-the-token-itself!!');
      await expectUnauthenticated(`Bearer ${own}`);
      expect(asked).toBe(false);
    } finally {
      server.close();
    }
  });

  test('issuer and audience count where they are configured', async () => {
    const { url } = await system.another({ environment: { JWT_ISSUER: 'https://id.test', JWT_AUDIENCE: 'accubooks' } });
    const status = async (change: JWTPayload) =>
      (await createApiClient(url, await sign(claims(change))).post('/api/customers', body)).status;
    expect(await status({ iss: 'https://id.test', aud: 'accubooks' })).toBe(201);
    expect(await status({ iss: 'https://id.test', aud: ['other', 'accubooks'] })).toBe(201);
    expect(await status({ iss: 'https://evil.test', aud: 'accubooks' })).toBe(401);
    expect(await status({ iss: 'https://id.test', aud: 'other' })).toBe(401);
    expect(await status({})).toBe(401);
  });

  test('not a role that the operation does not name, and nothing is stored', async () => {
    const before = await everything();
    for (const role of ['auditor', 'inventory_manager', 'employee', 'customer', 'user'] as const) {
      const answer = await company.as(role).post('/api/customers', body, { key: 'no-role' });
      expect([answer.status, answer.json.code, answer.json.nextAction]).toEqual([403, 'forbidden', 'fix_request']);
    }
    expect(await everything()).toEqual(before);
    expect((await company.as('manager').post('/api/customers', body, { key: 'no-role' })).replayed).toBe(false);
  });

  test('one whose token has run out does not get the stored answer either', async () => {
    const token = await signToken({ userId: company.users.owner.id, companyId: company.id });
    expect((await sendAs(token, 'ran-out')).status).toBe(201);
    const expired = await signToken({ userId: company.users.owner.id, companyId: company.id }, { ttlSeconds: -60 });
    const answer = await sendAs(expired, 'ran-out');
    expect([answer.status, answer.replayed]).toEqual([401, false]);
    expect(answer.text).not.toContain('Authenticated');
  });

  test('one whose token runs out between two requests', async () => {
    // Long enough for the first of them on a busy machine.
    const [leewayS, validS] = [30, 8];
    const token = await sign(claims({ iat: NOW_S - HOUR_S, exp: Math.floor(Date.now() / 1_000) - leewayS + validS }));
    expect((await sendAs(token)).status).toBe(201);
    await sleep((validS + 1) * 1_000);
    await expectUnauthenticated(`Bearer ${token}`);
  });

  test('one whose role was revoked does not get the stored answer, until it is granted again', async () => {
    const user = company.as('accountant');
    const setRoles = (roles: string[]) =>
      system.owner.query('UPDATE memberships SET roles = $3 WHERE company_id = $1 AND user_id = $2', [
        company.id,
        company.users.accountant.id,
        roles,
      ]);
    const first = await user.post('/api/customers', body, { key: 'revoked' });
    expect(first.status).toBe(201);
    const before = await everything();
    await setRoles(['auditor']);
    const refused = await user.post('/api/customers', body, { key: 'revoked' });
    expect([refused.status, refused.json.code, refused.replayed]).toEqual([403, 'forbidden', false]);
    expect(refused.text).not.toContain(first.json.id);
    expect(await everything()).toEqual(before);
    await setRoles(['accountant']);
    expect((await user.post('/api/customers', body, { key: 'revoked' })).text).toBe(first.text);
  });

  test('one whose role is revoked before the transaction is rejected in it, and that is stored', async () => {
    const user = company.as('manager');
    const held = { companyId: company.id, userId: company.users.owner.id, keys: ['revoked-meanwhile'] };
    const twin = await holdKeys(system.owner, held);
    const waiting = user.post('/api/customers', body, { key: 'revoked-meanwhile' });
    await twin.untilMet();
    await system.owner.query(`UPDATE memberships SET roles = '{user,auditor}' WHERE company_id = $1 AND user_id = $2`, [
      company.id,
      company.users.manager.id,
    ]);
    await twin.release();

    const answer = await waiting;
    expect([answer.status, answer.json.code, answer.json.nextAction]).toEqual([403, 'forbidden', 'use_new_key']);
    expect(answer.json.requestId).toBeUndefined();
    const { rows } = await system.owner.query(
      `SELECT w.outcome, w.status_code, a.status, a.error_code FROM idempotent_writes w
       JOIN idempotent_write_audit_log a USING (company_id, idempotency_key)
       WHERE w.company_id = $1 AND w.idempotency_key = 'revoked-meanwhile'`,
      [company.id],
    );
    expect(rows).toEqual([{ outcome: 'rejected', status_code: 403, status: 'failed', error_code: 'forbidden' }]);
    const again = await company.api.post('/api/customers', body, { key: 'revoked-meanwhile' });
    expect([again.status, again.replayed, again.text]).toEqual([403, true, answer.text]);
  });
});
