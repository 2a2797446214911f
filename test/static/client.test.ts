import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type Http, openHttp } from '../../deploy/client/http.ts';
import { submitWrite, type Write } from '../../deploy/client/submit-write.ts';

/** Answers one request; the last one answers all that follow. */
type Answerer = (request: IncomingMessage, response: ServerResponse) => void;

const WRITE: Write = { method: 'POST', path: '/api/payments', token: 'token', key: 'a key', body: '{"amount":1}' };
const GIVE_UP_AFTER_MS = 10_000;

describe('a client that never gives a write two keys', () => {
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  test('follows a 202 by its status until that is settled, then gets the answer by the same request', async () => {
    const { http, seen } = await serve([
      (_, response) => response.writeHead(202, { location: '/api/writes/a%20key', 'retry-after': '1' }).end('{}'),
      (_, response) => response.writeHead(200).end('{"state":"running"}'),
      (_, response) => response.writeHead(200).end('{"state":"succeeded"}'),
      (_, response) => response.writeHead(201, { 'idempotent-replayed': 'true' }).end('{"id":"1"}'),
    ]);
    const submitted = await submitWrite(http, WRITE, { giveUpAfterMs: GIVE_UP_AFTER_MS });
    expect(submitted).toMatchObject({ requests: 2, onTheWay: { '202': 1 }, acknowledged: true });
    expect(submitted.final).toMatchObject({ status: 201, replayed: true, text: '{"id":"1"}' });
    expect(seen).toEqual([
      'POST /api/payments "a key"',
      'GET /api/writes/a%20key',
      'GET /api/writes/a%20key',
      'POST /api/payments "a key"',
    ]);
  });

  test('repeats what may be repeated, and not before Retry-After', async () => {
    const { http, seen } = await serve([
      problem(503, 'overloaded', 'retry_same_key', { 'retry-after': '1' }),
      problem(409, 'idempotency_in_progress', 'wait', { 'retry-after': '1' }),
      (_, response) => response.writeHead(201).end('{"id":"1"}'),
    ]);
    const startedAt = performance.now();
    const submitted = await submitWrite(http, WRITE, { giveUpAfterMs: GIVE_UP_AFTER_MS });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1_990);
    expect(submitted).toMatchObject({
      onTheWay: { '503 overloaded': 1, '409 idempotency_in_progress': 1 },
      final: { status: 201, replayed: false },
      acknowledged: true,
    });
    expect(new Set(seen)).toEqual(new Set(['POST /api/payments "a key"']));
  });

  test('repeats what got no answer, and what only a proxy answered', async () => {
    const { http } = await serve([
      (request) => request.socket.destroy(),
      (_, response) => response.writeHead(502).end('<html>'),
      (_, response) => response.writeHead(201).end('{"id":"1"}'),
    ]);
    const submitted = await submitWrite(http, WRITE, { giveUpAfterMs: GIVE_UP_AFTER_MS });
    expect(submitted).toMatchObject({ onTheWay: { 'no answer': 1, '502': 1 }, final: { status: 201 } });
  });

  test('takes a refusal as it is, and knows a stored one from one at the door', async () => {
    const door = await serve([problem(422, 'validation_failed', 'fix_request', {}, { requestId: 'r' })]);
    expect(await submitWrite(door.http, WRITE, { giveUpAfterMs: GIVE_UP_AFTER_MS })).toMatchObject({
      requests: 1,
      final: { status: 422 },
      acknowledged: false,
    });
    const stored = await serve([problem(409, 'invoice_not_payable', 'use_new_key')]);
    expect(await submitWrite(stored.http, WRITE, { giveUpAfterMs: GIVE_UP_AFTER_MS })).toMatchObject({
      requests: 1,
      final: { status: 409 },
      acknowledged: true,
    });
  });

  test('says that there is no answer when the time is over', async () => {
    const { http } = await serve([problem(429, 'rate_limited', 'retry_same_key', { 'retry-after': '60' })]);
    const submitted = await submitWrite(http, WRITE, { giveUpAfterMs: 500 });
    expect(submitted).toEqual({
      final: undefined,
      requests: 1,
      onTheWay: { '429 rate_limited': 1 },
      acknowledged: false,
    });
  });

  async function serve(answerers: readonly Answerer[]): Promise<{ http: Http; seen: string[] }> {
    const seen: string[] = [];
    const server = createServer((request, response) => {
      const answerer = answerers[Math.min(seen.length, answerers.length - 1)];
      seen.push([request.method, request.url, request.headers['idempotency-key'] ?? ''].join(' ').trim());
      answerer?.(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const http = openHttp(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { connections: 1 });
    closing.push(
      () => http.close(),
      () => new Promise((resolve) => server.close(resolve)),
    );
    return { http, seen };
  }
});

function problem(
  status: number,
  code: string,
  nextAction: string,
  headers: Record<string, string> = {},
  members: object = {},
): Answerer {
  return (_, response) =>
    response.writeHead(status, headers).end(JSON.stringify({ status, code, nextAction, ...members }));
}
