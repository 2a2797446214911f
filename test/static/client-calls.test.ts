import { getEventListeners } from 'node:events';
import { describe, expect, test, vi } from 'vitest';
import {
  CancelledError,
  isRejection,
  LostWriteError,
  RefusedError,
  RejectedError,
  UnavailableError,
  UnknownOutcomeError,
} from '../../deploy/client/src/errors.ts';
import type { KeptWrite } from '../../deploy/client/src/keys.ts';
import { resolveWrite } from '../../deploy/client/src/resolve.ts';
import { type Answerer, drop, json, problem } from '../support/answering-server.ts';
import { errorOf, serveCalls as serve } from '../support/client-calls.ts';

const PAYMENT = { operation: 'createPayment', method: 'POST', path: '/api/payments', body: { amount: 1 } } as const;
const KEPT: KeptWrite = { ...PAYMENT, idempotencyKey: 'order-1', body: '{"amount":1}' };
const MADE = json(201, { id: '1' }, { location: '/api/payments/1', 'x-request-id': 'r' });
const EXCEEDS = problem(422, 'payment_exceeds_outstanding', 'fix_request', {
  errors: [{ in: 'body', pointer: '/amount', message: '25.00 USD is due' }],
});

describe('a write by the client', () => {
  test('resolves with the resource, and tells a first answer from a replay', async () => {
    const { calls, seen } = await serve([MADE, json(201, { id: '1' }, { 'idempotent-replayed': 'true' })]);
    const options = { idempotencyKey: 'order-1', requestId: 'mine', waitS: 30 };
    expect(await calls.write(PAYMENT, options)).toEqual({
      ...{ resource: { id: '1' }, idempotencyKey: 'order-1', replayed: false, status: 201 },
      ...{ location: '/api/payments/1', requestId: 'r' },
    });
    expect(await calls.write(PAYMENT, options)).toMatchObject({ resource: { id: '1' }, replayed: true });
    expect(seen[0]?.headers).toMatchObject({
      prefer: 'wait=30',
      'x-request-id': 'mine',
      authorization: 'Bearer token',
    });
  });

  test('without a key makes one, which the caller has before anything is sent', async () => {
    const { calls, seen } = await serve([MADE]);
    const pending = calls.write(PAYMENT, undefined);
    expect([pending.idempotencyKey, seen.length]).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/), 0]);
    await pending;
    expect(seen[0]?.headers['idempotency-key']).toBe(pending.idempotencyKey);
    const another = calls.write(PAYMENT, undefined);
    expect(another.idempotencyKey).not.toBe(pending.idempotencyKey);
    await another;
  });

  test.each<[string, Answerer, new (...given: never[]) => Error, object]>([
    ['a stored no', EXCEEDS, RejectedError, { operation: 'createPayment', status: 422, replayed: false }],
    ['a cancellation', problem(409, 'write_cancelled', 'use_new_key'), CancelledError, { code: 'write_cancelled' }],
    [
      'a refusal',
      problem(422, 'idempotency_key_reused', 'use_new_key', { requestId: 'r' }),
      RefusedError,
      { code: 'idempotency_key_reused', requestId: 'r' },
    ],
    [
      'a lost record',
      problem(500, 'write_record_missing', 'none', { requestId: 'r' }),
      LostWriteError,
      { code: 'write_record_missing' },
    ],
  ])('%s becomes its own error', async (_, answerer, kind, members) => {
    const { calls } = await serve([answerer]);
    const error = await errorOf(calls.write(PAYMENT, { idempotencyKey: 'order-1' }));
    expect(error).toBeInstanceOf(kind);
    expect(error).toMatchObject({ idempotencyKey: 'order-1', ...members });
  });

  test('a rejection names the member at fault and is known by its operation', async () => {
    const { calls } = await serve([EXCEEDS]);
    const error = await errorOf(calls.write(PAYMENT, undefined));
    expect(String(error)).toBe(
      'RejectedError: 422 payment_exceeds_outstanding: It is payment_exceeds_outstanding. (body /amount 25.00 USD is due)',
    );
    expect([isRejection(error, 'createPayment'), isRejection(error, 'createRefund')]).toEqual([true, false]);
  });

  test('without a final answer in time its outcome is unknown, which says what the answers were', async () => {
    const { calls } = await serve([drop]);
    const error = await errorOf(calls.write(PAYMENT, { idempotencyKey: 'order-1', deadlineMs: 300 }));
    expect(error).toBeInstanceOf(UnknownOutcomeError);
    expect(error).toMatchObject({ idempotencyKey: 'order-1', acknowledged: false, cause: expect.any(Error) });
    expect((error as UnknownOutcomeError).answers).toEqual({ 'no answer': (error as UnknownOutcomeError).requests });
  });

  test('any number of calls share a signal, which has one listener and ends them all', async () => {
    const { calls, seen } = await serve([() => undefined]);
    const controller = new AbortController();
    const pending = Array.from({ length: 12 }, () => errorOf(calls.write(PAYMENT, { signal: controller.signal })));
    await vi.waitFor(() => expect(seen).toHaveLength(pending.length), { timeout: 10_000 });
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
    controller.abort(new Error('no longer wanted'));
    for (const error of await Promise.all(pending)) {
      expect(error).toBeInstanceOf(UnknownOutcomeError);
      expect(error).toMatchObject({ cause: { message: 'no longer wanted' } });
    }
  });

  test('refuses what cannot be a key, and sends nothing', async () => {
    const { calls, seen } = await serve([MADE]);
    for (const idempotencyKey of ['', ' ', '.', '..', 'ü', 'k'.repeat(256), 'a\nb']) {
      expect(await errorOf(calls.write(PAYMENT, { idempotencyKey }))).toBeInstanceOf(TypeError);
    }
    expect(seen).toEqual([]);
  });

  test('a trace sees each request and adds its headers', async () => {
    const traced: unknown[] = [];
    const { calls, seen } = await serve([problem(503, 'overloaded', 'retry_same_key', { requestId: 'r' }), MADE], {
      async trace({ method, path, attempt }, send) {
        const answer = await send({ traceparent: `00-${attempt}` });
        traced.push([method, path, attempt, answer.status]);
        return answer;
      },
    });
    await calls.write(PAYMENT, { requestId: 'mine' });
    expect(traced).toEqual([
      ['POST', '/api/payments', 1, 503],
      ['POST', '/api/payments', 2, 201],
    ]);
    expect(seen.map(({ headers }) => [headers['traceparent'], headers['x-request-id']])).toEqual([
      ['00-1', 'mine'],
      ['00-2', 'mine'],
    ]);
  });
});

describe('the key store', () => {
  const recording = (failing: 'keep' | 'settle' | 'nothing' = 'nothing') => {
    const log: unknown[] = [];
    return {
      log,
      keyStore: {
        async keep(write: KeptWrite) {
          log.push(['keep', write]);
          if (failing === 'keep') throw new Error('The disk is full');
        },
        async settle(key: string) {
          log.push(['settle', key]);
          if (failing === 'settle') throw new Error('The disk is full');
        },
      },
    };
  };

  test('has the write before the first request, and again nothing after the outcome', async () => {
    const { keyStore, log } = recording();
    const { calls, url } = await serve([(response, request) => log.push('sent') && MADE(response, request)], {
      keyStore,
    });
    await calls.write(PAYMENT, { idempotencyKey: 'order-1' });
    const kept = { ...KEPT, baseUrl: url };
    expect(log).toEqual([['keep', kept], 'sent', ['settle', 'order-1']]);
  });

  test('a write that cannot be kept is not sent', async () => {
    const { calls, seen } = await serve([MADE], recording('keep'));
    expect(String(await errorOf(calls.write(PAYMENT, undefined)))).toBe('Error: The disk is full');
    expect(seen).toEqual([]);
  });

  test('an outcome is told although it cannot be settled in the store', async () => {
    const { calls } = await serve([MADE], recording('settle'));
    expect(await calls.write(PAYMENT, undefined)).toMatchObject({ resource: { id: '1' } });
  });

  test.each<[string, Answerer, boolean]>([
    ['a stored no', EXCEEDS, true],
    ['an invalid body', problem(422, 'validation_failed', 'fix_request', { requestId: 'r' }), true],
    ['an invalid token', problem(401, 'unauthenticated', 'fix_request', { requestId: 'r' }), false],
    ['a role that is missing', problem(403, 'forbidden', 'fix_request', { requestId: 'r' }), false],
    ['a lost record', problem(500, 'write_record_missing', 'none', { requestId: 'r' }), false],
    ['a key of another request', problem(422, 'idempotency_key_reused', 'use_new_key', { requestId: 'r' }), false],
    ['no answer', drop, false],
  ])('after %s, the store is told whether the write need not be sent again', async (_, answerer, settles) => {
    const { keyStore, log } = recording();
    const { calls, url } = await serve([answerer], { keyStore });
    // What is answered is waited for, be the machine ever so busy.
    const deadlineMs = answerer === drop ? 200 : 60_000;
    await errorOf(calls.write(PAYMENT, { idempotencyKey: 'order-1', deadlineMs }));
    expect(log).toEqual([['keep', { ...KEPT, baseUrl: url }], ...(settles ? [['settle', 'order-1']] : [])]);
  });

  test('a kept write is sent again with the same bytes under the same key', async () => {
    const away = problem(503, 'overloaded', 'retry_same_key', { headers: { 'retry-after': '60' }, requestId: 'r' });
    const { calls, seen } = await serve([away, MADE]);
    await errorOf(calls.submit(KEPT, { deadlineMs: 5_000 }));
    await calls.submit(KEPT);
    const same = { line: 'POST /api/payments', body: KEPT.body };
    expect(seen).toMatchObject([same, same]);
    expect(seen.map(({ headers }) => headers['idempotency-key'])).toEqual(['order-1', 'order-1']);
  });
});

describe('the outcome of a write, asked by its key alone', () => {
  const write = (state: string, members: object = {}, key = 'order-1') =>
    json(200, {
      key,
      state,
      operation: 'createPayment',
      requestId: 'r',
      status: null,
      location: null,
      response: null,
      ...members,
    });

  test('waits while it is running, then resolves with the stored answer', async () => {
    const { calls, seen } = await serve([
      write('running', {}, 'order/1'),
      write('succeeded', { status: 201, location: '/api/payments/1', response: { id: '1' } }, 'order/1'),
    ]);
    expect(await resolveWrite(calls, 'order/1', { deadlineMs: 60_000 })).toEqual({
      ...{ resource: { id: '1' }, idempotencyKey: 'order/1', replayed: true, status: 201 },
      ...{ location: '/api/payments/1', requestId: 'r' },
    });
    expect(seen.map(({ line, headers }) => [line, headers['prefer']])).toEqual([
      ['GET /api/writes/order%2F1', 'wait=10'],
      ['GET /api/writes/order%2F1', 'wait=10'],
    ]);
  });

  test('resolves with undefined if nothing is known of it', async () => {
    const { calls } = await serve([problem(404, 'write_not_found', 'retry_same_key', { requestId: 'r' })]);
    expect(await resolveWrite(calls, 'order-1')).toBeUndefined();
  });

  const REJECTED = { status: 409, response: { code: 'invoice_not_payable', detail: 'It is paid.' } };
  test.each<[string, Answerer, new (...given: never[]) => Error, object]>([
    ['rejected', write('rejected', REJECTED), RejectedError, { code: 'invoice_not_payable', status: 409 }],
    ['cancelled', write('cancelled', { status: 409, response: { code: 'write_cancelled' } }), CancelledError, {}],
    ['lost', write('lost'), LostWriteError, {}],
    ['failed', write('failed'), UnknownOutcomeError, { acknowledged: false }],
    ['still running', write('running'), UnknownOutcomeError, { acknowledged: true }],
    ['not to be asked', drop, UnknownOutcomeError, { acknowledged: false }],
    ['not to be seen', problem(403, 'not_a_member', 'fix_request', { requestId: 'r' }), UnknownOutcomeError, {}],
  ])('throws what the write throws when it is %s', async (_, answerer, kind, members) => {
    const { calls } = await serve([answerer]);
    const error = await errorOf(resolveWrite(calls, 'order-1', { deadlineMs: answerer === drop ? 200 : 3_000 }));
    expect(error).toBeInstanceOf(kind);
    expect(error).toMatchObject(members);
  });
});

describe('a read by the client', () => {
  test('is repeated like a write, and gives up with its own error', async () => {
    const { calls } = await serve([
      drop,
      problem(503, 'storage_unavailable', 'retry_same_key'),
      json(200, { id: '1' }),
    ]);
    expect(await calls.read('/api/payments/1', undefined, undefined)).toEqual({ id: '1' });
    const { calls: away } = await serve([drop]);
    expect(await errorOf(away.read('/api/me', undefined, { deadlineMs: 100 }))).toBeInstanceOf(UnavailableError);
  });

  test('takes a 404 as an answer', async () => {
    const { calls, seen } = await serve([problem(404, 'payment_not_found', 'none', { requestId: 'r' })]);
    expect(await errorOf(calls.read('/api/payments/1', undefined, undefined))).toMatchObject({
      ...{ name: 'RefusedError', code: 'payment_not_found', status: 404 },
    });
    expect(seen).toHaveLength(1);
  });

  test('lists by pages or by items, with the filters on each page, and only as far as it is asked', async () => {
    const pages = [json(200, { items: [1, 2], nextCursor: 'a+b' }), json(200, { items: [3], nextCursor: null })];
    const { calls, seen } = await serve([...pages, ...pages]);
    const list = calls.list<number>('/api/payments', { currency: 'USD', limit: 2, from: undefined }, undefined);
    expect(seen).toEqual([]);
    expect(await itemsOf(list)).toEqual([1, 2, 3]);
    for await (const { items, nextCursor } of list.pages()) {
      expect([items, nextCursor]).toEqual([[1, 2], 'a+b']);
      break;
    }
    expect(seen.map(({ line }) => line)).toEqual([
      'GET /api/payments?currency=USD&limit=2',
      'GET /api/payments?currency=USD&limit=2&cursor=a%2Bb',
      'GET /api/payments?currency=USD&limit=2',
    ]);
  });
});

async function itemsOf<Item>(list: AsyncIterable<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of list) items.push(item);
  return items;
}
