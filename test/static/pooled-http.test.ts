import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Pool } from 'undici';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { openPooledHttp } from '../../deploy/cli/pooled-http.ts';
import { type Answerer, drop, json, startAnswering } from '../support/answering-server.ts';

const READ = { method: 'GET', path: '/api/me', token: 'token' } as const;

describe('requests over a pool of connections', () => {
  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  async function serve(answerers: readonly Answerer[], { connections = 1, below = '' } = {}) {
    const server = await startAnswering(answerers);
    const http = openPooledHttp(server.url + below, { connections });
    closing.push(() => http.close(), server.close);
    return { ...server, http };
  }

  test('are what the client says, byte for byte, also below a path', async () => {
    const { http, seen } = await serve([json(201, { id: 'é' }, { location: '/api/x/1', 'x-request-id': 'r' })], {
      below: '/books/',
    });
    const body = '{ "name": "Müller & 日本" }';
    const answer = await http.send({ method: 'POST', path: '/api/x?a=%20b', token: 'token', key: 'a "key"', body });
    expect(answer).toEqual({
      status: 201,
      replayed: false,
      location: '/api/x/1',
      retryAfterMs: undefined,
      requestId: 'r',
      contentType: 'application/json',
      key: '"a \\"key\\""',
      text: '{"id":"é"}',
    });
    expect(seen).toMatchObject([
      {
        line: 'POST /books/api/x?a=%20b',
        body,
        headers: {
          authorization: 'Bearer token',
          'idempotency-key': '"a \\"key\\""',
          'content-type': 'application/json',
        },
      },
    ]);
  });

  test('use no more connections than there may be, and each again', async () => {
    const sockets = new Set<Socket>();
    const held: (() => void)[] = [];
    const hold: Answerer = (response, { socket }) => {
      sockets.add(socket);
      held.push(() => response.end('{}'));
    };
    const { http, seen } = await serve([hold], { connections: 2 });
    const answers = Promise.all(Array.from({ length: 6 }, () => http.send(READ)));
    while (seen.length < 6) {
      expect(held.length).toBeLessThanOrEqual(2);
      for (const answer of held.splice(0)) answer();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expect.poll(() => held.length).toBeGreaterThan(0);
    for (const answer of held.splice(0)) answer();
    expect((await answers).map(({ status }) => status)).toEqual(Array.from({ length: 6 }, () => 200));
    expect(sockets.size).toBeLessThanOrEqual(2);
  });

  test('have no answer where half of one came', async () => {
    const half: Answerer = (response) => {
      response.writeHead(201, { 'content-length': '10' });
      response.write('{"id"', () => response.destroy());
    };
    const { http } = await serve([half, drop, json(200, {})]);
    await expect(http.send(READ)).rejects.toThrow(/other side closed|terminated|aborted/);
    await expect(http.send(READ)).rejects.toThrow(/other side closed|hang up|ECONNRESET/);
    expect(await http.send(READ)).toMatchObject({ status: 200, text: '{}' });
  });

  test.each([
    [undefined, 25_000],
    ['respond-async, wait=2', 17_000],
    ['wait=60', 75_000],
  ])('that prefer %j wait longer than the service does', async (prefer, timeoutMs) => {
    const asked = vi.spyOn(Pool.prototype, 'request');
    const { http } = await serve([json(200, {})]);
    await http.send(prefer === undefined ? READ : { ...READ, prefer });
    expect(asked.mock.calls).toMatchObject([[{ headersTimeout: timeoutMs, bodyTimeout: timeoutMs }]]);
    asked.mockRestore();
  });

  test('follow no redirect, which would send the token elsewhere', async () => {
    const { http, seen } = await serve([json(307, {}, { location: 'http://elsewhere.invalid/' })]);
    expect(await http.send(READ)).toMatchObject({ status: 307, location: 'http://elsewhere.invalid/' });
    expect(seen).toHaveLength(1);
  });

  test.each([
    ['before its answer begins', () => undefined],
    ['in the middle of its answer', (response) => void response.writeHead(200).write('{"id"')],
  ] as [string, Answerer][])('can be given up %s, which ends the connection', async (_, begin) => {
    const sockets: Socket[] = [];
    const { http } = await serve([
      (response, request) => {
        begin(response, request);
        sockets.push(request.socket);
      },
    ]);
    const giveUp = new AbortController();
    const sent = http.send({ ...READ, signal: giveUp.signal });
    await expect.poll(() => sockets.length).toBe(1);
    const ended = once(sockets[0] as Socket, 'close');
    giveUp.abort(new Error('no longer wanted'));
    await expect(sent).rejects.toThrow('no longer wanted');
    await ended;
  });

  test('are answered before the pool is closed', async () => {
    const { url, seen } = await serve([(response) => setImmediate(() => response.end('{}'))]);
    const http = openPooledHttp(url, { connections: 1 });
    const answer = http.send(READ);
    await expect.poll(() => seen.length).toBe(1);
    await http.close();
    expect(await answer).toMatchObject({ status: 200 });
  });
});
