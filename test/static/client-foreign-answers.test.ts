import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type ClientOptions, createCalls } from '../../deploy/client/src/calls.ts';
import { followEvents } from '../../deploy/client/src/events.ts';
import { resolveWrite } from '../../deploy/client/src/resolve.ts';
import { type Answerer, drop, json, problem } from '../support/answering-server.ts';
import { errorOf, serveCalls as serve } from '../support/client-calls.ts';
import { signToken } from '../support/tokens.ts';

const PAYMENT = { operation: 'createPayment', method: 'POST', path: '/api/payments', body: { amount: 1 } } as const;
const MADE = json(201, { id: '1' });
const UNAUTHENTICATED = problem(401, 'unauthenticated', 'fix_request', { requestId: 'r' });
const FORBIDDEN = problem(403, 'forbidden', 'fix_request', { requestId: 'r' });
const INVALID = problem(422, 'validation_failed', 'fix_request', { requestId: 'r' });
const [ACME, GLOBEX] = ['b1d5a4ba-7c5b-4f3e-9d1a-0c6f2c1b8e11', 'b1d5a4ba-7c5b-4f3e-9d1a-0c6f2c1b8e12'] as const;

const tokenFor = (companyId: string) => signToken({ userId: ACME, companyId });

describe('what was asked before a refusal', () => {
  test.each<[string, readonly Answerer[], object]>([
    ['no answer, then 401', [drop, UNAUTHENTICATED], { acknowledged: false }],
    ['no answer, then 403', [drop, FORBIDDEN], { acknowledged: false }],
    ['accepted, then 401', [json(202, {}), json(200, { state: 'succeeded' }), UNAUTHENTICATED], { acknowledged: true }],
    ['no answer, then 422', [drop, INVALID], { acknowledged: false }],
    ['accepted, then 422', [json(202, {}), json(200, { state: 'succeeded' }), INVALID], { acknowledged: true }],
    ['no answer, then no such route', [drop, problem(404, 'route_not_found', 'fix_request', { requestId: 'r' })], {}],
    ['a gateway’s 504, then 401', [json(504, { code: '1' }), UNAUTHENTICATED], { acknowledged: false }],
  ])('%s: the write may have happened, and nobody says that it was refused', async (_, answerers, members) => {
    const settled: string[] = [];
    const keyStore = { keep: () => undefined, settle: (key: string) => void settled.push(key) };
    const { calls } = await serve(answerers, { keyStore });
    expect(await errorOf(calls.write(PAYMENT, undefined))).toMatchObject({
      ...{ name: 'UnknownOutcomeError', cause: { name: 'RefusedError' } },
      ...members,
    });
    expect(settled).toEqual([]);
  });

  test('a key that belongs to another request is told, whatever came before', async () => {
    const { calls } = await serve([drop, problem(422, 'idempotency_key_reused', 'use_new_key', { requestId: 'r' })]);
    expect(await errorOf(calls.write(PAYMENT, undefined))).toMatchObject({
      ...{ name: 'RefusedError', code: 'idempotency_key_reused' },
    });
  });

  test('a write of an earlier run, which may have made it, stays kept when it is refused', async () => {
    const settled: string[] = [];
    const keyStore = { keep: () => undefined, settle: (key: string) => void settled.push(key) };
    const { calls, url } = await serve([INVALID], { keyStore });
    const kept = { ...PAYMENT, idempotencyKey: 'a', body: '{}', baseUrl: `${url}/` };
    expect(await errorOf(calls.submit(kept))).toMatchObject({ name: 'RefusedError' });
    expect(settled).toEqual([]);
  });

  test.each(['malformed_request', 'malformed_json'])(
    '%s says that the request was changed on its way',
    async (code) => {
      const { calls, seen } = await serve([problem(400, code, 'fix_request', { requestId: 'r' }), MADE]);
      expect(await calls.write(PAYMENT, undefined)).toMatchObject({ resource: { id: '1' } });
      expect(seen).toHaveLength(2);
    },
  );

  test('a refusal of another request is none of this one', async () => {
    const other = { headers: { 'idempotency-key': 'another' }, requestId: 'r' };
    const { calls } = await serve([problem(422, 'validation_failed', 'fix_request', other), MADE]);
    expect(await calls.write(PAYMENT, undefined)).toMatchObject({ resource: { id: '1' } });
  });

  test('a refusal that came first says what it is', async () => {
    const limited = problem(429, 'rate_limited', 'retry_same_key', { headers: { 'retry-after': '0' }, requestId: 'r' });
    const { calls } = await serve([limited, FORBIDDEN]);
    expect(await errorOf(calls.write(PAYMENT, undefined))).toMatchObject({ name: 'RefusedError', code: 'forbidden' });
  });
});

describe('one company', () => {
  test('has all writes of a client: a token of another one is not used', async () => {
    const tokens = [await tokenFor(ACME), await tokenFor(GLOBEX), await tokenFor(ACME)];
    const given = tokens.values();
    const { calls, seen } = await serve([UNAUTHENTICATED, MADE], { token: () => given.next().value ?? '' });
    expect(await calls.write(PAYMENT, undefined)).toMatchObject({ resource: { id: '1' } });
    expect(seen.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${tokens[0]}`, `Bearer ${tokens[2]}`]);
  });

  test('and one service have a kept write: it is sent nowhere else', async () => {
    const kept = { ...PAYMENT, idempotencyKey: 'a', body: '{}' };
    const { calls, seen, url } = await serve([MADE], { token: await tokenFor(ACME) });
    for (const elsewhere of [
      { companyId: GLOBEX },
      { baseUrl: 'https://elsewhere.test' },
      { path: '.elsewhere.test/' },
    ]) {
      expect(await errorOf(calls.submit({ ...kept, ...elsewhere }))).toBeInstanceOf(TypeError);
    }
    expect(seen).toEqual([]);
    await calls.submit({ ...kept, companyId: ACME, baseUrl: url });
    expect(seen).toHaveLength(1);
  });
});

describe('the time of a call ends it, whatever it waits for', () => {
  const never = new Promise<never>(() => undefined);
  test.each<[string, Partial<ClientOptions>, object]>([
    ['a token', { token: () => never }, { requests: 0, cause: { message: 'No answer within 0.2 s' } }],
    ['the key store', { keyStore: { keep: () => never, settle: () => undefined } }, { requests: 0 }],
    ['a fetch that knows no signal', { fetch: () => never }, { requests: 1 }],
  ])('%s', async (_, options, members) => {
    const { calls } = await serve([MADE], options);
    expect(await errorOf(calls.write(PAYMENT, { deadlineMs: 200 }))).toMatchObject({
      name: 'UnknownOutcomeError',
      ...members,
    });
  });

  test('a key store that does not settle does not withhold the outcome', async () => {
    const { calls } = await serve([MADE], { keyStore: { keep: () => undefined, settle: () => never } });
    expect(await calls.write(PAYMENT, { deadlineMs: 3_000 })).toMatchObject({ resource: { id: '1' } });
  });

  test('a call that was given up before it began keeps and sends nothing', async () => {
    const kept: unknown[] = [];
    const { calls, seen } = await serve([MADE], { keyStore: { keep: (one) => void kept.push(one), settle: () => {} } });
    expect(await errorOf(calls.write(PAYMENT, { signal: AbortSignal.abort() }))).toMatchObject({ requests: 0 });
    expect([kept, seen]).toEqual([[], []]);
  });
});

describe('a client that is asked for too much', () => {
  test('takes a 401 as final after two different tokens', async () => {
    const { calls, seen } = await serve([UNAUTHENTICATED], { token: () => `token-${randomUUID()}` });
    expect(await errorOf(calls.write(PAYMENT, undefined))).toMatchObject({ name: 'RefusedError', status: 401 });
    expect(seen).toHaveLength(3);
  });

  test('asks for another token where a gateway refuses one', async () => {
    const page: Answerer = (response) => response.writeHead(401, { 'content-type': 'text/html' }).end('<html>');
    const { calls, seen } = await serve([page, MADE], { token: () => `token-${randomUUID()}` });
    expect(await calls.write(PAYMENT, undefined)).toMatchObject({ resource: { id: '1' } });
    expect(seen[0]?.headers.authorization).not.toBe(seen[1]?.headers.authorization);
  });

  test('does not send again and again what is accepted without end', async () => {
    const accepted = json(202, {});
    const settled = json(200, { state: 'succeeded' });
    const { calls, seen } = await serve(
      Array.from({ length: 100 }, (_, index) => (index % 2 === 0 ? accepted : settled)),
    );
    expect(await errorOf(calls.write(PAYMENT, { deadlineMs: 1_000 }))).toMatchObject({ acknowledged: true });
    expect(seen.length).toBeLessThan(20);
  });

  test.each([
    { deadlineMs: 0 },
    { deadlineMs: Number.NaN },
    { waitS: 61 },
    { waitS: -1 },
    { requestId: 'a b' },
    { requestId: 'ü' },
  ])('refuses %j, and sends nothing', async (options) => {
    const { calls, seen } = await serve([MADE]);
    expect(await errorOf(calls.write(PAYMENT, options))).toBeInstanceOf(TypeError);
    expect(await errorOf(calls.read('/api/me', undefined, options))).toBeInstanceOf(TypeError);
    expect(seen).toEqual([]);
  });

  test('refuses a token that cannot stand in a header', () => {
    for (const token of ['', 'a b', 'ü', undefined as never]) {
      expect(() => createCalls({ baseUrl: 'http://127.0.0.1:1', token })).toThrow(TypeError);
    }
  });

  test('refuses to follow events without a pause', async () => {
    const { calls } = await serve([json(200, { items: [], nextCursor: null })]);
    for (const pollMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(await errorOf(followEvents(calls, { pollMs }).next())).toBeInstanceOf(TypeError);
    }
  });

  test('reads no list without an end', async () => {
    const { calls } = await serve([json(200, { items: [1] })]);
    expect(await errorOf(calls.list('/api/payments', undefined, undefined).first())).toMatchObject({
      name: 'UnavailableError',
    });
  });

  test('waits a growing time where Retry-After is 0', async () => {
    const limited = problem(429, 'rate_limited', 'retry_same_key', { headers: { 'retry-after': '0' }, requestId: 'r' });
    const { calls, seen } = await serve([limited]);
    await errorOf(calls.write(PAYMENT, { deadlineMs: 1_000 }));
    expect(seen.length).toBeLessThan(10);
  });

  test('keeps the answer when a trace returns nothing', async () => {
    const { calls } = await serve([MADE], { trace: async (_, send) => (await send()) && (undefined as never) });
    expect(await calls.write(PAYMENT, undefined)).toMatchObject({ resource: { id: '1' } });
  });

  test('keeps the answer when a trace fails after it', async () => {
    const { calls, seen } = await serve([MADE], {
      async trace(_, send) {
        await send();
        throw new Error('The exporter is away');
      },
    });
    expect(await calls.write(PAYMENT, undefined)).toMatchObject({ resource: { id: '1' } });
    expect(seen).toHaveLength(1);
  });
});

describe('a write whose answer is not shown', () => {
  const write = (state: string, status: number) =>
    json(200, { key: 'a', state, status, operation: 'createPayment', requestId: 'r', location: null, response: null });

  test('has no resource', async () => {
    const { calls } = await serve([write('succeeded', 201)]);
    expect(await resolveWrite(calls, 'a')).toMatchObject({ resource: null, replayed: true });
  });

  test('is not taken from the status of another write', async () => {
    const { calls } = await serve([write('succeeded', 201)]);
    expect(await errorOf(resolveWrite(calls, 'another'))).toMatchObject({ name: 'UnknownOutcomeError' });
  });

  test('is still a rejection', async () => {
    const { calls } = await serve([write('rejected', 409)]);
    expect(await errorOf(resolveWrite(calls, 'a'))).toMatchObject({ name: 'RejectedError', status: 409 });
  });
});
