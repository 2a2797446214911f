import { Readable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, test } from 'vitest';
import type { ClientOptions } from '../../deploy/client/src/calls.ts';
import { createClient } from '../../deploy/client/src/client.ts';
import { RefusedError, UnavailableError, UnknownOutcomeError } from '../../deploy/client/src/errors.ts';
import type { FileSource } from '../../deploy/client/src/file-body.ts';
import { type Answerer, drop, json, problem, startAnswering } from '../support/answering-server.ts';

const FILE = '{"body":{"amount":1}}\n{"body":{"amount":2}}\n';
const BATCH = { key: 'march', state: 'queued', rows: 2, completedAt: null };
const COMPLETED = { ...BATCH, state: 'completed', completedAt: '2026-03-31T12:00:00Z' };
const STORED = json(202, BATCH, { location: '/api/batches/march' });
const SUBMIT = { batchKey: 'march', operation: 'createPayment' };

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function serve(...answerers: Answerer[]) {
  const server = await startAnswering(answerers);
  closing.push(server.close);
  const clientOf = (options: Partial<ClientOptions> = {}) =>
    createClient({ baseUrl: server.url, token: 'token', circuit: false, ...options });
  return { ...server, clientOf, batches: clientOf().batches };
}

async function* piecesOf() {
  yield new TextEncoder().encode(FILE.slice(0, 5));
  yield new TextEncoder().encode(FILE.slice(5));
}

function streamOf(text: string): ReadableStream {
  return new Blob([text]).stream();
}

describe('a file', () => {
  const SOURCES: Readonly<Record<string, FileSource>> = {
    text: FILE,
    bytes: new TextEncoder().encode(FILE),
    'a Blob': new Blob([FILE]),
    'a function that makes a stream': () => streamOf(FILE),
    'a function that makes text later': async () => FILE,
    'a function that makes a stream of Node': () => Readable.from([Buffer.from(FILE)], { objectMode: false }),
    'a function that makes a generator': piecesOf,
  };
  test.each(Object.entries(SOURCES))(
    'of %s is sent again, whole and under its key, until it is stored',
    async (_, source) => {
      const { batches, seen } = await serve(
        drop,
        problem(503, 'overloaded', 'retry_same_key', { requestId: 'r' }),
        STORED,
      );
      expect(await batches.submit(source, SUBMIT)).toMatchObject({ batch: BATCH, batchKey: 'march', replayed: false });
      const sent = seen.map(({ line, headers, body }) => [
        line,
        headers['content-type'],
        headers['idempotency-key'],
        headers.authorization,
        body,
      ]);
      const once = ['POST /api/batches?operation=createPayment', 'application/x-ndjson', 'march', 'Bearer token', FILE];
      expect(sent).toEqual([once, once, once]);
    },
  );

  test('of a stream is sent once, since its bytes are gone: whether it is stored is not known', async () => {
    const { batches, seen } = await serve(drop, STORED);
    const error = await batches
      .submit(streamOf(FILE), { ...SUBMIT, deadlineMs: 10_000 })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UnknownOutcomeError);
    expect(error).toMatchObject({ idempotencyKey: 'march', requests: 1, answers: { 'no answer': 1 } });
    expect(seen.length).toBe(1);
    expect(await (await serve(STORED)).batches.submit(streamOf(FILE), SUBMIT)).toMatchObject({ batch: BATCH });
    const generator = await serve(drop, STORED);
    await expect(generator.batches.submit(piecesOf(), SUBMIT)).rejects.toThrow(UnknownOutcomeError);
  });

  test('of a stream is not kept in memory while it is sent', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const sent: WeakRef<Uint8Array>[] = [];
    const source = async function* () {
      for (let count = 0; count < 200; count += 1) {
        const piece = new Uint8Array(65_536).fill(10);
        sent.push(new WeakRef(piece));
        yield piece;
      }
    };
    let kept = 0;
    const { batches } = await serve((response, request) => {
      collectGarbage();
      kept = sent.filter((piece) => piece.deref() !== undefined).length;
      STORED(response, request);
    });
    await batches.submit(source, SUBMIT);
    expect(sent).toHaveLength(200);
    expect(kept).toBeLessThan(20);
  });

  const failure = new Error('The disk is gone.');
  const FAILING: Readonly<Record<string, FileSource>> = {
    'a function': () => Promise.reject(failure),
    'a generator': async function* () {
      yield* piecesOf();
      throw failure;
    },
    'a stream': () => new ReadableStream({ pull: (controller) => controller.error(failure) }),
  };
  test.each(Object.entries(FAILING))('that %s fails to read is not stored, and fails with that', async (_, source) => {
    const { batches, seen } = await serve(STORED);
    await expect(batches.submit(source, SUBMIT)).rejects.toBe(failure);
    await expect(batches.validate(source)).rejects.toBe(failure);
    // What was begun was cut, and not ended.
    expect(seen).toEqual([]);
  });

  test('of a stream that gives text instead of bytes is a mistake of the program', async () => {
    const { batches } = await serve(STORED);
    const source = () => Readable.from([FILE]) as AsyncIterable<never>;
    await expect(batches.submit(source, SUBMIT)).rejects.toThrow(TypeError);
  });

  test('is stored only if the API says so of this key', async () => {
    const { batches, seen } = await serve(
      json(202, BATCH, { 'idempotency-key': 'another' }),
      (response) => response.writeHead(202).end('Accepted'),
      json(202, BATCH, { 'idempotent-replayed': 'true' }),
    );
    expect(await batches.submit(FILE, { ...SUBMIT, format: 'csv' })).toMatchObject({ replayed: true });
    expect(seen.map(({ headers }) => headers['content-type'])).toEqual(['text/csv', 'text/csv', 'text/csv']);
  });

  test('that broke off on its way, or was too slow, is sent again; one that is refused is not', async () => {
    const { batches, seen } = await serve(
      problem(400, 'malformed_request', 'fix_request', { requestId: 'r' }),
      problem(408, 'request_timeout', 'retry_same_key', { requestId: 'r' }),
      problem(422, 'idempotency_key_reused', 'use_new_key', {
        requestId: 'r',
        errors: [{ in: 'body', pointer: '', row: 2, message: 'The row differs.' }],
      }),
    );
    const error = await batches.submit(FILE, SUBMIT).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RefusedError);
    expect(error).toMatchObject({ code: 'idempotency_key_reused', problem: { errors: [{ row: 2 }] } });
    expect(String(error)).toContain('(row 2: body The row differs.)');
    expect(seen.length).toBe(3);
  });

  test('is not sent under a key that cannot be one', async () => {
    const { batches, seen } = await serve(STORED);
    await expect(batches.submit(FILE, { batchKey: '' })).rejects.toThrow(TypeError);
    expect(seen).toEqual([]);
  });

  test('is given up by its signal', async () => {
    const { batches } = await serve(() => undefined);
    const signal = AbortSignal.timeout(100);
    await expect(batches.submit(FILE, { ...SUBMIT, signal })).rejects.toThrow(UnknownOutcomeError);
  });

  test('can be checked, without a key', async () => {
    const checked = { rows: 2, valid: 1, errors: [{ row: 2, key: 'k', code: 'validation_failed', errors: [] }] };
    const { batches, seen } = await serve(drop, json(200, checked));
    expect(await batches.validate(FILE, { operation: 'createPayment' })).toEqual(checked);
    expect(seen.map(({ line, headers }) => [line, headers['idempotency-key']])).toEqual([
      ['POST /api/batches?operation=createPayment&validateOnly=true', undefined],
      ['POST /api/batches?operation=createPayment&validateOnly=true', undefined],
    ]);
  });
});

describe('a batch', () => {
  test('is waited for until it is over, whatever fails meanwhile', async () => {
    const { batches, seen } = await serve(
      json(200, { ...BATCH, state: 'running' }),
      drop,
      problem(503, 'storage_unavailable', 'retry_same_key', { requestId: 'r' }),
      json(200, { ...BATCH, state: 'paused' }),
      // What was begun of it is being ended.
      json(200, { ...BATCH, state: 'cancelled' }),
      json(200, { ...COMPLETED, state: 'cancelled' }),
    );
    const states: string[] = [];
    expect(await batches.wait('march', { onProgress: ({ state }) => states.push(state) })).toEqual({
      ...COMPLETED,
      state: 'cancelled',
    });
    expect(states).toEqual(['running', 'paused', 'cancelled', 'cancelled']);
    expect(new Set(seen.map(({ line, headers }) => `${line} ${String(headers['prefer'])}`))).toEqual(
      new Set(['GET /api/batches/march wait=30']),
    );
  });

  test('is waited for until the program has seen enough', async () => {
    const { batches, seen } = await serve(
      ...[json(200, { ...BATCH, state: 'running' }), json(200, { ...BATCH, state: 'paused' })],
    );
    const until = ({ state }: { readonly state: string }) => state === 'paused';
    expect(await batches.wait('march', { until, waitS: 1 })).toMatchObject({ state: 'paused' });
    expect(seen.map(({ headers }) => headers['prefer'])).toEqual(['wait=0', 'wait=1']);
  });

  test('that nobody knows is not waited for', async () => {
    const { batches } = await serve(problem(404, 'batch_not_found', 'none', { requestId: 'r' }));
    await expect(batches.wait('march')).rejects.toThrow(RefusedError);
  });

  test('is waited for no longer than the program likes', async () => {
    const { batches } = await serve(json(200, { ...BATCH, state: 'running' }));
    await expect(batches.wait('march', { deadlineMs: 100 })).rejects.toThrow(UnavailableError);
  });
});
