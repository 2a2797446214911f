import { afterEach, describe, expect, test } from 'vitest';
import { createClient } from '../../deploy/client/src/client.ts';
import { RefusedError, UnavailableError } from '../../deploy/client/src/errors.ts';
import { type Answerer, drop, json, problem, startAnswering } from '../support/answering-server.ts';

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
  const ofFive = json(200, { key: 'march', state: 'completed', rows: 5 });

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

  test('are read to the last row, though a page has fewer rows than asked for and names no next one', async () => {
    const { batches, seen } = await serve(ofFive, page(1, 2), page(3, 3), page(4, 5));
    expect(await collect(batches.results('march', { limit: 4 }))).toEqual([1, 2, 3, 4, 5]);
    expect(seen).toHaveLength(4);
  });

  test('of a file that was stored meanwhile are read to its last row', async () => {
    const none = json(200, { key: 'march', state: 'receiving', rows: null });
    const { batches } = await serve(none, page(1, 2), ofFive, page(3, 5));
    expect(await collect(batches.results('march'))).toEqual([1, 2, 3, 4, 5]);
    const never = await serve(none, ndjson(''));
    expect(await collect(never.batches.results('march'))).toEqual([]);
  });
});

describe('the results of a batch as text', () => {
  const HEADER = 'row,key,outcome\r\n';
  const LINES = ['1,k,succeeded\r\n', '2,"two\r\n9,lines ""of"" it",refused\r\n', '3,k,refused\r\n'];
  const ofThree = json(200, { key: 'march', state: 'completed', rows: 3 });
  const csv = (text: string): Answerer => {
    return (response) => response.writeHead(200, { 'content-type': 'text/csv; charset=utf-8' }).end(text);
  };

  async function textOf(iteration: AsyncIterable<string>): Promise<string> {
    let all = '';
    for await (const text of iteration) all += text;
    return all;
  }

  test('are those of the service, byte for byte, page by page', async () => {
    const { batches, seen } = await serve(ofThree, csv(HEADER + LINES[0]), csv(`${LINES[1]}${LINES[2]}`));
    expect(await textOf(batches.resultsText('march', { format: 'csv' }))).toBe(HEADER + LINES.join(''));
    expect(seen.slice(1).map(({ line, headers }) => [line, headers.accept])).toEqual([
      ['GET /api/batches/march/results?cursor=0&limit=1000', 'text/csv, application/problem+json'],
      ['GET /api/batches/march/results?cursor=1&limit=1000', 'text/csv, application/problem+json'],
    ]);
    const line = '{"row":1, "resource":{"amount":1.50}}\n';
    const one = json(200, { key: 'march', state: 'completed', rows: 1 });
    const ndjson = await serve(one, (response) =>
      response.writeHead(200, { 'content-type': 'application/x-ndjson' }).end(line),
    );
    expect(await textOf(ndjson.batches.resultsText('march'))).toBe(line);
  });

  test('are asked for again where a page of CSV is cut, or is none', async () => {
    const { batches } = await serve(
      ofThree,
      ...[
        HEADER + LINES[0]?.slice(0, -1),
        `${HEADER}${LINES[0]}2,"two\r\n`,
        'not,a,page\r\n',
        LINES.join('') + HEADER,
      ].map(csv),
      csv(HEADER + LINES.join('')),
    );
    expect(await textOf(batches.resultsText('march', { format: 'csv' }))).toBe(HEADER + LINES.join(''));
  });

  test('end with an error, and not early, where rows are missing', async () => {
    const short = await serve(ofThree, csv(HEADER + LINES[0]), csv(''));
    await expect(textOf(short.batches.resultsText('march', { format: 'csv' }))).rejects.toThrow(
      'The results of /api/batches/march end before row 2, of 3.',
    );
    const without = await serve(ofThree, csv(HEADER + LINES[0] + LINES[2]));
    await expect(textOf(without.batches.resultsText('march', { format: 'csv' }))).rejects.toThrow(UnavailableError);
  });
});
