import { afterEach, describe, expect, test } from 'vitest';
import { createCalls } from '../../deploy/client/src/calls.ts';
import { type ClientCredentials, clientCredentials } from '../../deploy/client/src/client-credentials.ts';
import { type Answerer, drop, json, problem, startAnswering } from '../support/answering-server.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function serve(...answerers: readonly Answerer[]) {
  const server = await startAnswering(answerers);
  closing.push(() => server.close());
  return server;
}

const TOKEN = json(200, { access_token: 'the-token', token_type: 'Bearer', expires_in: 300 });
const CLIENT = { clientId: 'night run', clientSecret: 'p:ß+%&=secret' };

async function ask(answer: Answerer, change: Partial<ClientCredentials> = {}) {
  const { url, seen } = await serve(answer);
  const source = clientCredentials({ tokenUrl: `${url}/oauth2/token?realm=a`, ...CLIENT, ...change });
  return { source, seen, host: new URL(url).host };
}

describe('a token by client credentials', () => {
  test('is asked for with ID and secret in Authorization, each encoded as in a form', async () => {
    const { source, seen } = await ask(TOKEN, { scope: 'books:write books:read', audience: 'accubooks' });
    expect(await source()).toBe('the-token');
    expect(seen).toMatchObject([
      {
        line: 'POST /oauth2/token?realm=a',
        headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
        body: 'grant_type=client_credentials&scope=books%3Awrite+books%3Aread&audience=accubooks',
      },
    ]);
    const [scheme, encoded] = (seen[0]?.headers.authorization ?? '').split(' ');
    expect(scheme).toBe('Basic');
    expect(Buffer.from(encoded ?? '', 'base64').toString()).toBe('night+run:p%3A%C3%9F%2B%25%26%3Dsecret');
  });

  test('is asked for with ID and secret in the form, where the provider wants that', async () => {
    const { source, seen } = await ask(TOKEN, { authentication: 'form' });
    expect(await source()).toBe('the-token');
    expect(seen[0]?.headers.authorization).toBeUndefined();
    expect(Object.fromEntries(new URLSearchParams(seen[0]?.body))).toEqual({
      ...{ grant_type: 'client_credentials', client_id: CLIENT.clientId, client_secret: CLIENT.clientSecret },
    });
  });

  test('is asked for each time: who keeps it is the client', async () => {
    const { source, seen } = await ask(TOKEN);
    await source();
    await source();
    expect(seen).toHaveLength(2);
  });

  test.each<readonly [string, Answerer, string]>([
    [
      'a refusal',
      json(401, { error: 'invalid_client', error_description: 'Unknown client' }),
      'answers 401 invalid_client (Unknown client).',
    ],
    ['a refusal without a reason', json(400, {}), 'answers 400.'],
    ['an outage', (response) => response.writeHead(503).end('<html>'), 'answers 503.'],
    ['a redirect', (response) => response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end(), 'answers 302.'],
    ['another page', (response) => response.writeHead(200).end('<html>'), 'the answer has no access_token.'],
    ['no token', json(200, { access_token: '', token_type: 'Bearer' }), 'the answer has no access_token.'],
    [
      'a token of another type',
      json(200, { access_token: 'a', token_type: 'DPoP' }),
      'only bearer tokens can be used.',
    ],
    ['no answer', drop, 'does not answer.'],
  ])('is not to be had: %s', async (_, answer, message) => {
    const { source, host, seen } = await ask(answer);
    const error = (await source().catch((thrown: unknown) => thrown)) as Error;
    expect(error.message).toContain(message);
    expect(error.message).toContain(host);
    expect(error.message).not.toContain('secret');
    // Once: the client repeats its own call.
    expect(seen).toHaveLength(1);
  });

  test.each(['http://login.example.com/token', 'https://a:b@login.example.com/', 'ftp://localhost/', 'login'])(
    'is not asked for at %s',
    (tokenUrl) => {
      expect(() => clientCredentials({ ...CLIENT, tokenUrl })).toThrow(TypeError);
    },
  );

  test('needs an ID and a secret', () => {
    const tokenUrl = 'https://login.example.com/token';
    expect(() => clientCredentials({ tokenUrl, clientId: 'a', clientSecret: '' })).toThrow('must not be empty');
    expect(() => clientCredentials({ tokenUrl, clientId: '', clientSecret: 'a' })).toThrow('must not be empty');
  });
});

describe('a client whose provider fails for a while', () => {
  test('sends nothing meanwhile, and then the same write once', async () => {
    const provider = await serve(drop, json(503, {}), TOKEN);
    const api = await serve(json(201, { id: '1' }));
    const calls = createCalls({
      baseUrl: api.url,
      token: clientCredentials({ tokenUrl: provider.url, ...CLIENT }),
      deadlineMs: 60_000,
    });
    const write = { operation: 'createCustomer', method: 'POST', path: '/api/customers', body: {} } as const;
    expect((await calls.write(write, { idempotencyKey: 'a' })).resource).toEqual({ id: '1' });
    expect([provider.seen.length, api.seen.length]).toEqual([3, 1]);
    expect(api.seen[0]?.headers).toMatchObject({ authorization: 'Bearer the-token', 'idempotency-key': 'a' });
  });

  test('says that the write was not sent, and why', async () => {
    const provider = await serve(json(401, { error: 'invalid_client' }));
    const api = await serve(json(201, { id: '1' }));
    const token = clientCredentials({ tokenUrl: provider.url, ...CLIENT });
    const calls = createCalls({ baseUrl: api.url, token, deadlineMs: 4_000 });
    const write = { operation: 'createCustomer', method: 'POST', path: '/api/customers', body: {} } as const;
    await expect(calls.write(write, undefined)).rejects.toMatchObject({
      ...{ name: 'UnknownOutcomeError', requests: 0, acknowledged: false },
      cause: { message: expect.stringContaining('invalid_client') },
    });
    expect(api.seen).toEqual([]);
  });

  test('asks again where the answer is 429, since too many tokens were refused, of others too', async () => {
    const provider = await serve(json(200, { access_token: 'first' }), json(200, { access_token: 'second' }));
    const limited = problem(429, 'too_many_failed_sign_ins', 'retry_same_key', { headers: { 'retry-after': '0' } });
    const api = await serve(limited, json(201, { id: '1' }));
    const token = clientCredentials({ tokenUrl: provider.url, ...CLIENT });
    const calls = createCalls({ baseUrl: api.url, token, deadlineMs: 60_000 });
    const write = { operation: 'createCustomer', method: 'POST', path: '/api/customers', body: {} } as const;
    await calls.write(write, { idempotencyKey: 'a' });
    expect(api.seen.map(({ headers }) => [headers.authorization, headers['idempotency-key']])).toEqual([
      ['Bearer first', 'a'],
      ['Bearer second', 'a'],
    ]);
  });

  test('asks again after a 401, once for all, and sends the same with the same key', async () => {
    const provider = await serve(json(200, { access_token: 'first' }), json(200, { access_token: 'second' }));
    const unlessSecond: Answerer = (response, request) =>
      (request.headers.authorization === 'Bearer second'
        ? json(201, { id: '1' })
        : problem(401, 'unauthenticated', 'fix_request', { requestId: 'r' }))(response, request);
    const api = await serve(unlessSecond);
    const token = clientCredentials({ tokenUrl: provider.url, ...CLIENT });
    const calls = createCalls({ baseUrl: api.url, token, deadlineMs: 60_000 });
    const write = { operation: 'createCustomer', method: 'POST', path: '/api/customers', body: { a: 1 } } as const;
    const keys = Array.from({ length: 40 }, (_, index) => `key-${index}`);
    await Promise.all(keys.map((idempotencyKey) => calls.write(write, { idempotencyKey })));
    expect(provider.seen).toHaveLength(2);
    for (const key of keys) {
      const sent = api.seen.filter(({ headers }) => headers['idempotency-key'] === key);
      expect(sent.map(({ headers, body }) => [headers.authorization, body])).toEqual(
        sent.map((_, index) => [index === 0 && sent.length === 2 ? 'Bearer first' : 'Bearer second', '{"a":1}']),
      );
      expect(sent.length).toBeLessThanOrEqual(2);
    }
  });
});
