import { afterEach, describe, expect, test } from 'vitest';
import { createClient } from '../../deploy/client/src/client.ts';
import { RefusedError, UnavailableError, UnknownOutcomeError } from '../../deploy/client/src/errors.ts';
import type { FileSource } from '../../deploy/client/src/files.ts';
import { type Answerer, drop, json, problem, startAnswering } from '../support/answering-server.ts';

const FILE = '{"body":{"amount":1}}\n{"body":{"amount":2}}\n';
const BATCH = { key: 'march', state: 'queued', rows: 2 };
const STORED = json(202, BATCH, { location: '/api/batches/march' });
const SUBMIT = { batchKey: 'march', operation: 'createPayment' };

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function serve(...answerers: Answerer[]) {
  const server = await startAnswering(answerers);
  closing.push(server.close);
  const { batches } = createClient({ baseUrl: server.url, token: 'token', circuit: false });
  return { ...server, batches };
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
    const error = await batches.submit(streamOf(FILE), SUBMIT).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UnknownOutcomeError);
    expect(error).toMatchObject({ idempotencyKey: 'march', requests: 1, answers: { 'no answer': 1 } });
    expect(seen.length).toBe(1);
    expect(await (await serve(STORED)).batches.submit(streamOf(FILE), SUBMIT)).toMatchObject({ batch: BATCH });
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
      json(200, { ...BATCH, state: 'completed' }),
    );
    const states: string[] = [];
    expect(await batches.wait('march', { onProgress: ({ state }) => states.push(state) })).toMatchObject({
      state: 'completed',
    });
    expect(states).toEqual(['running', 'paused', 'completed']);
    expect(new Set(seen.map(({ line, headers }) => `${line} ${headers['prefer']}`))).toEqual(
      new Set(['GET /api/batches/march wait=30']),
    );
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

describe('the results of a batch', () => {
  const rows = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, index) => ({ row: from + index, outcome: 'succeeded' }));
  const ndjson = (text: string): Answerer => {
    return (response) => response.writeHead(200, { 'content-type': 'application/x-ndjson' }).end(text);
  };
  const page = (from: number, to: number) =>
    ndjson(
      rows(from, to)
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    );
  const ofFive = json(200, { ...BATCH, rows: 5 });

  async function collect(iteration: AsyncIterable<{ row: number }>): Promise<number[]> {
    const numbers: number[] = [];
    for await (const { row } of iteration) numbers.push(row);
    return numbers;
  }

  test('come in order, page by page, and again from any row', async () => {
    const { batches, seen } = await serve(ofFive, page(1, 2), page(3, 4), page(5, 5));
    expect(await collect(batches.results('march', { limit: 2 }))).toEqual([1, 2, 3, 4, 5]);
    expect(seen.slice(1).map(({ line, headers }) => [line, headers.accept])).toEqual(
      [0, 2, 4].map((cursor) => [
        `GET /api/batches/march/results?cursor=${cursor}&limit=2`,
        'application/x-ndjson, application/problem+json',
      ]),
    );
    const later = await serve(ofFive, page(4, 5));
    expect(await collect(later.batches.results('march', { after: 3 }))).toEqual([4, 5]);
  });

  test('are asked for again where a page is cut, or is not the API’s', async () => {
    const { batches } = await serve(
      ofFive,
      ndjson('{"row":1}\n{"row":2'),
      (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('Please sign in'),
      drop,
      page(1, 5),
    );
    expect(await collect(batches.results('march'))).toEqual([1, 2, 3, 4, 5]);
  });

  test('end with an error, and not early, where rows are missing', async () => {
    const without = await serve(ofFive, page(1, 2), page(4, 5));
    await expect(collect(without.batches.results('march'))).rejects.toThrow(UnavailableError);
    const short = await serve(ofFive, page(1, 2), ndjson(''));
    await expect(collect(short.batches.results('march'))).rejects.toThrow(UnavailableError);
  });

  test('of a batch that nobody knows are refused', async () => {
    const { batches } = await serve(problem(404, 'batch_not_found', 'none', { requestId: 'r' }));
    await expect(collect(batches.results('march'))).rejects.toThrow(RefusedError);
  });
});
