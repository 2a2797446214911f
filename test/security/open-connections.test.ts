import { connect, type Socket } from 'node:net';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { CONNECTION_LIMITS } from '../../api/http/connections.ts';
import { createServer } from '../../api/http/server.ts';
import { createWaitLimit } from '../../api/http/wait-limit.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { holdKeys } from '../support/held-keys.ts';
import { type System, startSystem } from '../support/system.ts';

/** A client that sends what it likes, and what has come back until the server closed the connection. */
function open(url: string): {
  readonly socket: Socket;
  readonly received: () => string;
  readonly connected: Promise<void>;
  readonly closed: Promise<void>;
} {
  const { hostname, port } = new URL(url);
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  const connected = new Promise<void>((resolve) => void socket.once('connect', resolve));
  const closed = new Promise<void>((resolve) => {
    socket.on('end', () => resolve());
    socket.on('close', () => resolve());
  });
  return { socket, received: () => Buffer.concat(chunks).toString(), connected, closed };
}

describe('no connection stays for ever', () => {
  /** The server of the API, with limits that a test need not wait for. */
  async function serve({ maxConnectionsPerAddress = 100, limits = {} } = {}) {
    const seen = { problems: [] as string[], refused: 0 };
    const { app } = await createServer(pino({ level: 'silent' }), {
      trustedProxyHops: 0,
      onProblem: ({ code }) => void seen.problems.push(code),
      maxConnectionsPerAddress,
      onConnectionRefused: () => {
        seen.refused += 1;
      },
      limits: { headersMs: 400, requestMs: 800, fileMs: 600_000, checkedEveryMs: 50, sentInVainMs: 100, ...limits },
    });
    app.post('/take', async () => ({ taken: true }));
    app.get('/slow', async () => {
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      return { slow: true };
    });
    app.post(
      '/refuse',
      { onRequest: async (_request, reply) => reply.code(401).send({ refused: true }) },
      async () => '',
    );
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    onTestFinished(() => app.close());
    return { url, seen, app };
  }
  const HEADERS = 'Host: test\r\nContent-Type: application/json\r\n';

  test('of a client that sends nothing', async () => {
    const { url, seen } = await serve();
    const { closed, received } = open(url);
    await closed;
    // There is no request to which an answer would belong.
    expect([received(), seen.problems]).toEqual(['', []]);
  });

  test('of a client that never ends its headers', async () => {
    const { url, seen } = await serve();
    const { socket, closed, received } = open(url);
    socket.write('GET /slow HTTP/1.1\r\nHost: test\r\n');
    const drip = setInterval(() => socket.write('X-More: 1\r\n'), 50);
    onTestFinished(() => clearInterval(drip));
    await closed;
    expect(received()).toMatch(/^HTTP\/1\.1 408 /);
    expect(received()).toContain('"code":"request_timeout"');
    expect(seen.problems).toContain('request_timeout');
  });

  test('of a client that never ends its body, however often it sends a byte', async () => {
    const { url } = await serve();
    const { socket, closed, received } = open(url);
    socket.write(`POST /take HTTP/1.1\r\n${HEADERS}Content-Length: 100000\r\n\r\n`);
    const drip = setInterval(() => socket.write(' '), 50);
    onTestFinished(() => clearInterval(drip));
    await closed;
    expect(received()).toMatch(/^HTTP\/1\.1 408 /);
  });

  test('of a client that was refused and whose body never comes', async () => {
    const { url, app } = await serve({ limits: { requestMs: 600_000, headersMs: 200_000 } });
    // Node would close it as an idle one otherwise, a minute later.
    app.server.keepAliveTimeout = 600_000;
    const { socket, closed, received } = open(url);
    socket.write(`POST /refuse HTTP/1.1\r\n${HEADERS}Content-Length: 10\r\n\r\n`);
    await closed;
    // One answer: a second would be read as that to the next request.
    expect(received().match(/HTTP\/1\.1/g)).toEqual(['HTTP/1.1']);
    expect(received()).toMatch(/^HTTP\/1\.1 401 /);
  });

  test('of a client whose path is none, and whose body does not come', async () => {
    const { url, app } = await serve();
    app.server.keepAliveTimeout = 600_000;
    const { socket, closed, received } = open(url);
    socket.write(`POST /%ff HTTP/1.1\r\n${HEADERS}Content-Length: 10\r\n\r\n`);
    await closed;
    expect(received().match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400']);
  });

  test('of a client that was refused, and gets no second answer when its body is too late', async () => {
    const { url } = await serve({ limits: { sentInVainMs: 600_000 } });
    const { socket, closed, received } = open(url);
    socket.write(`POST /refuse HTTP/1.1\r\n${HEADERS}Content-Length: 10\r\n\r\n`);
    await closed;
    expect(received().match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 401']);
  });

  test('of a client whose bytes were refused, and who does not close it', async () => {
    const { url, app } = await serve();
    const { socket, closed, received } = open(url);
    socket.write('GARBAGE\r\n\r\n');
    await closed;
    expect(received()).toMatch(/^HTTP\/1\.1 400 /);
    const connections = () =>
      new Promise<number>((resolve) => app.server.getConnections((_error, count) => resolve(count)));
    await until('the server to let go of it', async () => (await connections()) === 0);
  });

  test('but an answer may take longer than a request', async () => {
    const { url } = await serve();
    const answer = await fetch(`${url}/slow`);
    expect([answer.status, await answer.json()]).toEqual([200, { slow: true }]);
  });

  test('a client that was refused may send its body, and its next request', async () => {
    const { url } = await serve({ limits: { sentInVainMs: 600_000 } });
    const { socket, received } = open(url);
    socket.write(`POST /refuse HTTP/1.1\r\n${HEADERS}Content-Length: 2\r\n\r\n`);
    await until('the refusal', async () => received().includes('refused'));
    socket.write(`{}POST /take HTTP/1.1\r\n${HEADERS}Content-Length: 2\r\n\r\n{}`);
    await until('the next answer', async () => received().includes('taken'));
    expect(received().match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 401', 'HTTP/1.1 200']);
  });

  test('nor do more of one address stay open than it may have', async () => {
    const { url, seen } = await serve({
      maxConnectionsPerAddress: 3,
      limits: { headersMs: 200_000, requestMs: 600_000 },
    });
    const first = [open(url), open(url), open(url)];
    await Promise.all(first.map(({ connected }) => connected));
    await open(url).closed;
    expect(seen.refused).toBe(1);
    // What an address closes, it may open again.
    first[0]?.socket.destroy();
    await until('a place', async () => (await fetch(`${url}/slow`).catch(() => undefined))?.status === 200);
  });
});

test('the limits in force are short enough', () => {
  expect(CONNECTION_LIMITS.requestMs + CONNECTION_LIMITS.checkedEveryMs).toBeLessThanOrEqual(35_000);
  expect(CONNECTION_LIMITS.headersMs).toBeLessThanOrEqual(CONNECTION_LIMITS.requestMs);
});

describe('the API', () => {
  let system: System;
  let company: Company;
  beforeAll(async () => {
    system = await startSystem({ environment: { MAX_STATUS_WAITS_PER_COMPANY: '3' } });
    company = await system.company();
  });
  afterAll(() => system.stop());

  test('closes the connection of a request without a token whose body never comes', async () => {
    const { socket, closed, received } = open(system.url);
    socket.write(
      'POST /api/customers HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n',
    );
    await closed;
    expect(received()).toMatch(/^HTTP\/1\.1 401 /);
  });

  test('lets only so many requests of a company wait for a status; others, and other companies, are answered', async () => {
    const key = 'waited-for';
    const held = await holdKeys(system.owner, { companyId: company.id, userId: company.users.owner.id, keys: [key] });
    const write = company.api.post('/api/customers', { name: 'Slow' }, { key, headers: { prefer: 'respond-async' } });
    await held.untilMet();
    expect((await write).status).toBe(202);
    const waiting = Array.from({ length: 5 }, () => company.api.get(`/api/writes/${key}`, { prefer: 'wait=60' }));
    const refused = await Promise.race(waiting);
    expect(refused).toMatchObject({ status: 429, json: { code: 'rate_limited' } });
    expect(refused.headers.get('retry-after')).not.toBeNull();
    expect((await company.api.get(`/api/writes/${key}`)).json.state).toBe('running');
    await held.release();
    const statuses = (await Promise.all(waiting)).map(({ status }) => status);
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 200, 200, 429, 429]);
    expect((await company.api.get(`/api/writes/${key}`, { prefer: 'wait=60' })).status).toBe(200);
  });
});

test('a place among those that wait is free again after an error, too', async () => {
  const limit = createWaitLimit(1);
  await expect(limit.within('a', () => Promise.reject(new Error('of the test')))).rejects.toThrow('of the test');
  const first = limit.within('a', () => new Promise((resolve) => setTimeout(resolve, 50)));
  await expect(limit.within('a', async () => 1)).rejects.toMatchObject({ code: 'rate_limited' });
  expect(await limit.within('b', async () => 2)).toBe(2);
  await first;
  expect(await limit.within('a', async () => 3)).toBe(3);
});
