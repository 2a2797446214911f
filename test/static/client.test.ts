import { afterEach, describe, expect, test } from 'vitest';
import { openHttp } from '../../deploy/client/src/http.ts';
import { submitWrite } from '../../deploy/client/src/submit-write.ts';
import { type Answerer, drop, json, problem, startAnswering } from '../support/answering-server.ts';

const WRITE = { method: 'POST', path: '/api/payments', token: 'token', key: 'a key', body: '{"amount":1}' } as const;
const LIMITS = { deadlineMs: 10_000 };
const MADE = json(201, { id: '1' }, { location: '/api/payments/1' });
const REPLAYED = json(201, { id: '1' }, { 'idempotent-replayed': 'true' });

describe('a client that never gives a write two keys', () => {
  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  async function serve(...answerers: Answerer[]) {
    const server = await startAnswering(answerers);
    closing.push(server.close);
    const submit = (limits: Parameters<typeof submitWrite>[2] = LIMITS) =>
      submitWrite(openHttp({ baseUrl: server.url }), WRITE, limits);
    return { ...server, submit };
  }

  test('follows a 202 by its status until that is settled, then gets the answer by the same request', async () => {
    const { submit, seen } = await serve(
      json(202, {}, { location: '/somewhere/else', 'retry-after': '1' }),
      json(200, { state: 'running' }),
      json(200, { state: 'succeeded' }),
      REPLAYED,
    );
    expect(await submit()).toMatchObject({
      ...{ requests: 2, onTheWay: { '202': 1 }, acknowledged: true },
      final: { status: 201, replayed: true, text: '{"id":"1"}' },
    });
    expect(seen.map(({ line, headers }) => [line, headers['idempotency-key'], headers['prefer']])).toEqual([
      ['POST /api/payments', '"a key"', undefined],
      ['GET /api/writes/a%20key', undefined, 'wait=10'],
      ['GET /api/writes/a%20key', undefined, 'wait=10'],
      ['POST /api/payments', '"a key"', undefined],
    ]);
  });

  test('repeats what may be repeated with the same bytes, and not before Retry-After', async () => {
    const { submit, seen } = await serve(
      problem(503, 'overloaded', 'retry_same_key', { headers: { 'retry-after': '1' }, requestId: 'r' }),
      problem(409, 'idempotency_in_progress', 'wait', { headers: { 'retry-after': '1' }, requestId: 'r' }),
      MADE,
    );
    const startedAt = performance.now();
    const submitted = await submit();
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1_990);
    expect(submitted).toMatchObject({
      onTheWay: { '503 overloaded': 1, '409 idempotency_in_progress': 1 },
      final: { status: 201, replayed: false, location: '/api/payments/1' },
      acknowledged: true,
    });
    const same = ['POST /api/payments', '"a key"', '{"amount":1}'];
    expect(seen.map(({ line, headers, body }) => [line, headers['idempotency-key'], body])).toEqual([same, same, same]);
  });

  test.each<[string, Answerer, string]>([
    ['no answer', drop, 'no answer'],
    ['an answer that is cut', (response) => half(response, '{"id":"1"}'), 'no answer'],
    ['half of an answer in a whole frame', (response) => whole(response, 201, 'application/json', '{"id":'), '201'],
    [
      'half of a problem in a whole frame',
      (response) => whole(response, 422, 'application/problem+json', '{"code":"payment_exc'),
      '422',
    ],
    ['another service’s page', (response) => whole(response, 200, 'text/html', '<html>'), '200'],
    ['another service’s JSON', json(200, { maintenance: true }, { 'idempotency-key': 'other' }), '200'],
    ['the answer to another write', json(201, { id: '2' }, { 'idempotency-key': '"another key"' }), '201'],
    ['another service’s 404', (response) => whole(response, 404, 'text/html', '<html>'), '404'],
    ['a gateway’s 202', (response) => whole(response, 202, 'text/html', '<html>'), '202'],
    ['a redirect', (response) => response.writeHead(307, { location: 'https://elsewhere.test/' }).end(), '307'],
    [
      'another service’s problem',
      json(409, { title: 'No', status: 409, code: 'X', detail: 'No.' }, { 'content-type': 'application/problem+json' }),
      '409 X',
    ],
    ['a gateway’s error with a code', json(504, { code: '101504', message: 'Runtime Error' }), '504 101504'],
    [
      'a stored no to another write',
      problem(409, 'invoice_not_payable', 'use_new_key', { headers: { 'idempotency-key': '"another key"' } }),
      '409 invoice_not_payable',
    ],
    [
      'a problem with another status than that of its answer',
      problem(409, 'invoice_not_payable', 'use_new_key', { status: 422 }),
      '409 invoice_not_payable',
    ],
    ['a proxy’s 502', (response) => whole(response, 502, 'text/html', '<html>'), '502'],
    ['a proxy’s 429', (response) => whole(response, 429, 'text/html', '<html>'), '429'],
    ['a proxy’s 408', (response) => whole(response, 408, 'text/plain', ''), '408'],
    [
      'a problem with a next action of a later release',
      problem(503, 'later', 'later', { retryable: true }),
      '503 later',
    ],
  ])('%s says nothing of the write: it is sent again', async (_, answerer, label) => {
    const { submit } = await serve(answerer, MADE);
    expect(await submit()).toMatchObject({ requests: 2, onTheWay: { [label]: 1 }, final: { status: 201 } });
  });

  test.each<[string, Answerer, number, boolean]>([
    ['a refusal', problem(422, 'validation_failed', 'fix_request', { requestId: 'r' }), 422, false],
    ['a stored rejection', problem(409, 'invoice_not_payable', 'use_new_key'), 409, true],
    ['a lost record', problem(500, 'write_record_missing', 'none', { requestId: 'r' }), 500, false],
  ])('%s is final at once, and told apart from an outcome', async (_, answerer, status, acknowledged) => {
    const { submit, seen } = await serve(answerer, MADE);
    expect(await submit()).toMatchObject({ requests: 1, final: { status }, acknowledged });
    expect(seen).toHaveLength(1);
  });

  test('says that there is no answer when the time is over, and not earlier than Retry-After allows', async () => {
    const { submit, seen } = await serve(
      problem(429, 'rate_limited', 'retry_same_key', { headers: { 'retry-after': '60' }, requestId: 'r' }),
    );
    expect(await submit({ deadlineMs: 3_000 })).toMatchObject({
      ...{ final: undefined, requests: 1, onTheWay: { '429 rate_limited': 1 }, acknowledged: false },
    });
    expect(seen).toHaveLength(1);
  });

  test('cuts off a request that has no answer when the time is over', async () => {
    const { submit } = await serve(() => undefined);
    expect(await submit({ deadlineMs: 300 })).toMatchObject({
      ...{ final: undefined, requests: 1, onTheWay: { 'no answer': 1 } },
      lastError: { name: 'TimeoutError', message: 'No answer within 0.3 s' },
    });
  });

  test('gives up at once when it is told to, and knows what had been accepted', async () => {
    const controller = new AbortController();
    const { submit, seen } = await serve(json(202, {}), () => controller.abort(new Error('no longer wanted')));
    expect(await submit({ deadlineMs: 60_000, signal: controller.signal })).toMatchObject({
      ...{ final: undefined, requests: 1, acknowledged: true },
    });
    expect(seen).toHaveLength(2);
  });
});

type Response = Parameters<Answerer>[0];

function whole(response: Response, status: number, contentType: string, body: string): void {
  response.writeHead(status, { 'content-type': contentType }).end(body);
}

/** Says how long it is, sends half of it, and ends the connection. */
function half(response: Response, body: string): void {
  response.writeHead(201, { 'content-type': 'application/json', 'content-length': body.length });
  response.write(body.slice(0, body.length / 2), () => response.destroy());
}
