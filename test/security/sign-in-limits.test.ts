import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';

const LIMIT = 5;

let system: System;
let company: Company;
beforeAll(async () => {
  system = await startSystem({ environment: { FAILED_SIGN_INS_PER_MINUTE: String(LIMIT) } });
  company = await system.company();
});
afterAll(() => system.stop());

const guess = () =>
  signToken({ userId: randomUUID(), companyId: company.id }, { secret: 'a guess of a secret, 32 bytes or more' });

/** An API with a count of its own; the addresses of its clients stand in a header, as a proxy writes them. */
async function behind(hops: number) {
  const { url } = await system.another({ environment: { TRUSTED_PROXY_HOPS: String(hops) } });
  const from = async (forwarded: string, token: string) =>
    createApiClient(url, token).get('/api/me', { 'x-forwarded-for': forwarded });
  const guessFrom = async (forwarded: string) => (await from(forwarded, await guess())).status;
  return {
    guessFrom,
    ownerFrom: async (forwarded: string) => (await from(forwarded, company.users.owner.token)).status,
    // A minute may end in between, which begins the count anew.
    exhaust: (forwarded: string) => until('the limit', async () => (await guessFrom(forwarded)) === 429),
  };
}

describe('bad tokens by the dozen', () => {
  test('are answered 429 with Retry-After, and a valid token passes from the same address', async () => {
    const { guessFrom, ownerFrom, exhaust } = await behind(0);
    const first = await Promise.all(Array.from({ length: LIMIT }, () => guessFrom('')));
    expect(first).toEqual(Array<number>(LIMIT).fill(401));
    await exhaust('');
    expect(await ownerFrom('')).toBe(200);
  });

  test('the answer says when, and a client can tell it from its company’s rate limit', async () => {
    const client = createApiClient(system.url, await guess());
    let answer = await client.get('/api/me');
    await until('the limit', async () => {
      answer = await client.get('/api/me');
      return answer.status === 429;
    });
    expect(answer.json).toMatchObject({
      code: 'too_many_failed_sign_ins',
      retryable: true,
      nextAction: 'retry_same_key',
    });
    const retryAfter = Number(answer.headers.get('retry-after'));
    expect(retryAfter).toBeGreaterThan(0);
    expect(retryAfter).toBeLessThanOrEqual(60);
    // Also with a body, and whatever the route.
    expect((await client.post('/api/customers', { name: 'X', currency: 'USD' })).status).toBe(429);
    expect((await company.api.post('/api/customers', { name: 'X', currency: 'USD' })).status).toBe(201);
    // A request without a token guesses at nothing.
    expect((await fetch(`${system.url}/api/me`)).status).toBe(401);
  });

  test('from another address than the client says: the header is not believed without a proxy', async () => {
    const { guessFrom, exhaust } = await behind(0);
    await exhaust('198.51.100.1');
    expect(await guessFrom('198.51.100.2')).toBe(429);
  });

  test('behind a proxy by address, and a client that writes the header itself gains nothing', async () => {
    const { guessFrom, ownerFrom, exhaust } = await behind(1);
    await exhaust('198.51.100.1');
    expect(await guessFrom('198.51.100.2')).toBe(401);
    expect(await guessFrom('198.51.100.3, 198.51.100.1')).toBe(429);
    expect(await ownerFrom('198.51.100.1')).toBe(200);
  });

  test('a client with a whole network of IPv6 addresses is one source', async () => {
    const { guessFrom, exhaust } = await behind(1);
    await exhaust('2001:db8:1:1::1');
    expect(await guessFrom('2001:db8:1:1:ffff::2')).toBe(429);
    expect(await guessFrom('2001:db8:1:2::1')).toBe(401);
  });

  test('are in the security log, the limited ones by a name of their own', async () => {
    const { exhaust } = await behind(1);
    await exhaust('198.51.100.77');
    let events: string[] = [];
    await until('both kinds of rows', async () => {
      const { rows } = await system.owner.query<{ event: string }>(
        "SELECT DISTINCT event FROM security_log WHERE ip = '198.51.100.77' ORDER BY 1",
      );
      events = rows.map(({ event }) => event);
      return events.length === 2;
    });
    expect(events).toEqual(['authentication_refused', 'sign_ins_limited']);
  });
});
