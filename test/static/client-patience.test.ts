import { describe, expect, onTestFinished, test } from 'vitest';
import type { ClientOptions } from '../../deploy/client/src/calls.ts';
import { createClient } from '../../deploy/client/src/client.ts';
import { UnavailableError, UnknownOutcomeError } from '../../deploy/client/src/errors.ts';
import { openHttp } from '../../deploy/client/src/http.ts';
import type { Repeat } from '../../deploy/client/src/repeat.ts';
import { type Answerer, drop, json, problem, startAnswering } from '../support/answering-server.ts';

const BUSY = problem(503, 'overloaded', 'retry_same_key', { requestId: 'r' });
const PAYMENT = { invoiceId: 'i', amount: 1, currency: 'USD', method: 'card' } as const;

async function serve(answerers: readonly Answerer[], options: Partial<ClientOptions> = {}) {
  const server = await startAnswering(answerers);
  onTestFinished(server.close);
  const deadlineMs = Number.POSITIVE_INFINITY;
  return {
    ...server,
    books: createClient({ baseUrl: server.url, token: 'token', circuit: false, deadlineMs, ...options }),
  };
}

describe('a client that shall not wait long for a service that is not there', () => {
  test.each(['read', 'list', 'write', 'upload', 'wait'] as const)(
    'gives up a %s, which has no deadline',
    async (kind) => {
      const { books, seen } = await serve([BUSY], { giveUpAfterMs: 0 });
      const calls = {
        read: () => books.batches.get('march'),
        list: () => books.batches.list().first(),
        write: () => books.payments.create(PAYMENT),
        upload: () => books.batches.submit('{}', { batchKey: 'march' }),
        wait: () => books.batches.wait('march'),
      };
      await expect(calls[kind]()).rejects.toThrow(
        kind === 'write' || kind === 'upload' ? UnknownOutcomeError : UnavailableError,
      );
      expect(seen).toHaveLength(1);
    },
  );

  test('gives up a write for which there is no token', async () => {
    const { books, seen } = await serve([BUSY], {
      giveUpAfterMs: 0,
      token: () => Promise.reject(new Error('No token.')),
    });
    await expect(books.payments.create(PAYMENT)).rejects.toThrow(UnknownOutcomeError);
    expect(seen).toEqual([]);
  });

  test('has all patience again for the next request', async () => {
    const running = json(200, { key: 'march', state: 'running', completedAt: null });
    const completed = json(200, { key: 'march', state: 'completed', completedAt: '2026-03-31T12:00:00Z' });
    const { books } = await serve([drop, running, drop, running, drop, completed], {
      giveUpAfterMs: 400,
    });
    // The polls are half a second apart.
    expect(await books.batches.wait('march')).toMatchObject({ state: 'completed' });
  });

  test('does not begin with a time that is none', async () => {
    await expect(serve([BUSY], { giveUpAfterMs: -1 })).rejects.toThrow(TypeError);
  });
});

test('a program is told of each request that is sent again, and why, and may fail at that', async () => {
  const repeats: Repeat[] = [];
  const { books } = await serve([drop, BUSY, json(200, { key: 'march' })], {
    onRepeat(repeat) {
      repeats.push(repeat);
      throw new Error('The log is full.');
    },
  });
  expect(await books.batches.get('march')).toEqual({ key: 'march' });
  const about = { method: 'GET', path: '/api/batches/march', pauseMs: expect.any(Number) };
  expect(repeats).toEqual([
    { ...about, attempts: 1, reason: expect.stringMatching(/other side closed|ECONNRESET/) },
    { ...about, attempts: 2, reason: '503 overloaded' },
  ]);
});

describe('an upload that goes silent', () => {
  const request = { method: 'POST', path: '/api/batches', token: 'token', timeoutMs: 600_000 } as const;
  const streamOf = (onBytes: () => void) =>
    new ReadableStream({
      pull(controller) {
        onBytes();
        controller.enqueue(new TextEncoder().encode('{}'));
        controller.close();
      },
    });

  test('is given up long before its time is over', async () => {
    const server = await startAnswering([() => undefined]);
    onTestFinished(server.close);
    const http = openHttp({ baseUrl: server.url });
    const file = { type: 'application/x-ndjson', silentMs: 100, bytes: streamOf };
    await expect(http.send({ ...request, file })).rejects.toThrow('took no bytes and gave no answer');
  });

  test('is not taken for one whose bytes cannot be watched', async () => {
    const server = await startAnswering([(response) => setTimeout(() => response.end('late'), 300)]);
    onTestFinished(server.close);
    const http = openHttp({ baseUrl: server.url });
    const file = { type: 'application/x-ndjson', silentMs: 100, bytes: () => '{}' };
    expect(await http.send({ ...request, file })).toMatchObject({ text: 'late' });
  });
});
