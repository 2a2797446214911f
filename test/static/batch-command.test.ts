import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { checkRow } from '../../activities/batches/check-row.ts';
import { DEMO } from '../../activities/demo.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { Refused, Unfinished } from '../../deploy/batch/ends.ts';
import { batchText, durationText, sendingText } from '../../deploy/batch/progress-text.ts';
import { exitCodeOf, faultText, reportText } from '../../deploy/batch/report.ts';
import { saveResults } from '../../deploy/batch/results.ts';
import { type Batches, withBatches } from '../../deploy/batch/session.ts';
import { submit } from '../../deploy/batch/submit.ts';
import type { Upload } from '../../deploy/batch/upload.ts';
import type { Batch } from '../../deploy/client/src/generated/types.ts';
import { type Answerer, json, problem, startAnswering } from '../support/answering-server.ts';
import { readFile } from '../support/batch-files.ts';

const COUNTS = {
  ...{ pending: 0, pendingApproval: 0, succeeded: 0, replayed: 0, rejected: 0, mismatched: 0 },
  ...{ refused: 0, failed: 0, cancelled: 0 },
};
const SHA = 'a'.repeat(64);

function batchOf({ counts, ...over }: Partial<Omit<Batch, 'counts'>> & { counts?: object } = {}): Batch {
  return {
    ...{ key: 'b', id: 'i', state: 'completed', operation: 'createPayment', rows: 1_000, sha256: SHA, errors: [] },
    ...{ rowsPerSecond: null, eta: null, actor: { userId: 'u' }, requestId: 'r' },
    ...{ createdAt: '2026-01-01T00:00:00Z', startedAt: '2026-01-01T00:00:00Z', completedAt: '2026-01-01T00:00:02Z' },
    workflow: { id: 'w', runId: null, url: null },
    ...(['completed', 'cancelled'].includes(over.state ?? 'completed') ? {} : { completedAt: null }),
    ...over,
    counts: { ...COUNTS, ...counts },
  };
}

describe('the texts of a batch', () => {
  test('say how far it is, how fast, and how long it takes yet', () => {
    const running = batchOf({ state: 'running', rows: 10_000, counts: { pending: 5_500 }, rowsPerSecond: 2_310.4 });
    expect(batchText(running)).toBe('running [==========              ] 4,500 of 10,000 rows, 2,310/s, 2.4 s left');
    expect(batchText({ ...running, rowsPerSecond: null })).toBe(
      'running [==========              ] 4,500 of 10,000 rows',
    );
    expect(batchText({ ...running, rowsPerSecond: 0 })).not.toContain('left');
    expect(sendingText(1024 * 1024, 4 * 1024 * 1024, 2_000)).toBe(
      'sending [======                  ] 1.0 of 4.0 MiB, 0.5 MiB/s',
    );
    expect([800, 9_960, 59_600, 200_000, 7_500_000].map(durationText)).toEqual([
      ...['0.8 s', '10 s', '1 min 0 s', '3 min 20 s', '2 h 5 min'],
    ]);
  });

  test('count what became of the rows, and say what may be done', () => {
    expect(reportText(batchOf({ counts: { succeeded: 900, replayed: 99, failed: 1 } }))).toBe(
      [
        'Batch b: completed',
        '      900  succeeded  written by this batch',
        '       99  replayed   written before, under the same keys',
        '        1  failed     given up after an error; the results tell what was written',
        '    1,000  rows       in 2.0 s (500/s)',
        'To try the failed and refused rows again: npm run --silent batch -- retry-failed b',
      ].join('\n'),
    );
    expect(reportText(batchOf({ counts: { refused: 1_000 } }))).not.toContain('retry-failed');
    expect(reportText(batchOf({ key: "it's", state: 'paused' }))).toContain("resume 'it'\\''s'");
  });

  test('name the line of a bad row, its pointers and its key', () => {
    const fault = { row: 6, key: 'k', status: 422, code: 'validation_failed', detail: 'No.', errors: [] };
    expect(faultText({ ...fault, line: 7, errors: [{ pointer: '/amount', message: 'Too small' }] })).toBe(
      'line 7 (row 6), key k: 422 validation_failed: No.; /amount: Too small',
    );
    expect(faultText({ ...fault, key: null, line: 6 })).toBe('line 6: 422 validation_failed: No.');
    expect(faultText(fault)).toBe('row 6, key k: 422 validation_failed: No.');
  });

  test('are not needed by scripts: the exit code tells the end', () => {
    expect(exitCodeOf(batchOf({ counts: { succeeded: 1, replayed: 999 } }))).toBe(0);
    for (const outcome of ['rejected', 'mismatched', 'refused', 'failed', 'cancelled']) {
      expect(exitCodeOf(batchOf({ counts: { [outcome]: 1 } }))).toBe(1);
    }
    expect(exitCodeOf(batchOf({ state: 'cancelled', rows: null }))).toBe(1);
    // What was begun of it is being ended.
    expect(exitCodeOf(batchOf({ state: 'cancelled', completedAt: null, counts: { pending: 2 } }))).toBe(3);
    for (const state of ['receiving', 'queued', 'running', 'paused'] as const) {
      expect(exitCodeOf(batchOf({ state, counts: { rejected: 1 } }))).toBe(3);
    }
    expect(exitCodeOf(batchOf({ counts: { pendingApproval: 1 } }))).toBe(3);
  });
});

describe('a submission', () => {
  const servers: { close(): Promise<void> }[] = [];
  afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())));

  async function start(answers: readonly Answerer[], { giveUpMs = 60_000, tokens = ['first', 'second'] } = {}) {
    const server = await startAnswering(answers);
    const interrupted = new AbortController();
    const { signal } = interrupted;
    const source = () => tokens.shift() ?? 'last';
    const troubles: string[] = [];
    const onTrouble = (text: string) => void troubles.push(text);
    const ask = <T>(work: (batches: Batches) => Promise<T>) =>
      withBatches({ url: `${server.url}/books`, source }, { giveUpAfterMs: giveUpMs, signal, onTrouble }, work);
    servers.push(server);
    const found: string[] = [];
    const upload: Upload = {
      format: 'csv',
      sha256: async () => SHA,
      wasSentWhole: () => false,
      hasChanged: () => false,
      async *read() {
        yield Buffer.from('amount\n1\n');
      },
    };
    return {
      ask,
      interrupt: (reason: Error) => interrupted.abort(reason),
      found,
      troubles,
      lines: () => server.seen.map(({ line }) => line),
      seen: server.seen,
      submit: (over: object = {}) =>
        ask((batches) =>
          submit(batches, {
            ...{ batchKey: 'b b', operation: 'createPayment', upload, isNotAwaited: false, waitS: 0, signal },
            onFound: ({ state }) => found.push(state),
            onStored: () => undefined,
            onBatch: () => undefined,
            ...over,
          }),
        ),
    };
  }
  const none = problem(404, 'batch_not_found', 'none', { requestId: 'r' });

  test('of a file that is there already sends nothing', async () => {
    const { submit: send, lines, found } = await start([json(200, batchOf())]);
    expect(await send()).toMatchObject({ state: 'completed' });
    expect([lines(), found]).toEqual([['GET /books/api/batches/b%20b'], ['completed']]);
  });

  test('is left to the API to compare where the bytes or the operation differ', async () => {
    const reused = problem(422, 'idempotency_key_reused', 'use_new_key', { requestId: 'r' });
    for (const other of [{ sha256: 'b'.repeat(64) }, { operation: null }]) {
      const { submit: send, lines } = await start([json(200, batchOf(other)), reused]);
      await expect(send()).rejects.toThrow('422 idempotency_key_reused');
      expect(lines()[1]).toBe('POST /books/api/batches?operation=createPayment');
    }
  });

  test('is sent again, whole, until the API has taken it, and then followed', async () => {
    const {
      submit: send,
      lines,
      seen,
      troubles,
    } = await start([
      none,
      (response) => response.destroy(),
      problem(503, 'storage_unavailable', 'retry_same_key', { retryable: true, requestId: 'r' }),
      problem(408, 'request_timeout', 'retry_same_key', { retryable: true, requestId: 'r' }),
      problem(400, 'malformed_request', 'fix_request', { requestId: 'r' }),
      (response) => response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad gateway</h1>'),
      json(202, batchOf({ state: 'queued' })),
      json(200, batchOf({ state: 'running', counts: { pending: 1 } })),
      json(200, batchOf({ counts: { succeeded: 1_000 } })),
    ]);
    expect(await send()).toMatchObject({ state: 'completed' });
    expect(lines().map((line) => line.split(' ')[0])).toEqual([
      ...['GET', 'POST', 'POST', 'POST', 'POST', 'POST', 'POST', 'GET', 'GET'],
    ]);
    expect(troubles.map((text) => text.replace(/http\S+/, 'URL'))).toEqual([
      expect.stringMatching(/^No usable answer of URL \((other side closed|.*ECONNRESET)\); trying again$/),
      'No usable answer of URL (503 storage_unavailable); trying again',
      'No usable answer of URL (408 request_timeout); trying again',
      'No usable answer of URL (400 malformed_request); trying again',
      'No usable answer of URL (502); trying again',
    ]);
    const uploads = seen.filter(({ line }) => line.startsWith('POST'));
    expect(new Set(uploads.map(({ body }) => body))).toEqual(new Set(['amount\n1\n']));
    expect(uploads[0]?.headers).toMatchObject({ 'idempotency-key': '"b b"', 'content-type': 'text/csv' });
  });

  test('of a file that cannot be read to its end is not tried again, and leaves no batch', async () => {
    const { submit: send, lines } = await start([none]);
    const failure = new Error('There is no column a.');
    const upload: Upload = {
      ...{ format: 'csv', sha256: async () => SHA, wasSentWhole: () => false, hasChanged: () => false },
      async *read() {
        yield Buffer.from('amount\n');
        throw failure;
      },
    };
    await expect(send({ upload })).rejects.toBe(failure);
    // What has begun with it was cut, and not ended.
    expect(lines()).toEqual(['GET /books/api/batches/b%20b']);
  });

  test('whose batch a restore has lost is made again', async () => {
    const { submit: send, lines } = await start([
      ...[none, json(202, batchOf({ state: 'queued' })), none],
      ...[none, json(202, batchOf({ state: 'queued' })), json(200, batchOf())],
    ]);
    expect(await send()).toMatchObject({ state: 'completed' });
    expect(lines().filter((line) => line.startsWith('POST'))).toHaveLength(2);
  });

  test('takes another token where the API refuses one, and says so where there is no better', async () => {
    const unauthenticated = problem(401, 'unauthenticated', 'fix_request', { requestId: 'r' });
    const renewed = await start([unauthenticated, json(200, batchOf())]);
    expect(await renewed.submit()).toMatchObject({ state: 'completed' });
    expect(renewed.seen.map(({ headers }) => headers.authorization)).toEqual(['Bearer first', 'Bearer second']);
    const ended = await start([unauthenticated]);
    await expect(ended.submit()).rejects.toThrow(Refused);
    // The batch does not end with the token of who looks at it.
    const later = await start([none, json(202, batchOf({ state: 'queued' })), unauthenticated]);
    await expect(later.submit()).rejects.toThrow('The batch goes on, but it cannot be looked at: 401');
  });

  test('gives up when there was no usable answer for too long, without an opinion on the batch', async () => {
    const { submit: send } = await start([problem(429, 'rate_limited', 'retry_same_key', { retryable: true })], {
      giveUpMs: 0,
    });
    await expect(send()).rejects.toThrow(Unfinished);
  });

  test('that is interrupted ends with what that means', async () => {
    const { submit: send, interrupt } = await start([() => undefined]);
    const end = send();
    const meaning = new Unfinished('The batch goes on.');
    interrupt(meaning);
    await expect(end).rejects.toBe(meaning);
  });

  test('returns once the batch is taken, or where it is paused', async () => {
    const taken = await start([none, json(202, batchOf({ state: 'queued' }))]);
    expect(await taken.submit({ isNotAwaited: true })).toMatchObject({ state: 'queued' });
    const paused = await start([json(200, batchOf({ state: 'paused' }))]);
    expect(await paused.submit()).toMatchObject({ state: 'paused' });
  });

  test('has results to the last row, also below the path of a gateway that takes Link away', async () => {
    const page = (text: string): Answerer => {
      return (response) => response.writeHead(200, { 'content-type': 'application/x-ndjson' }).end(text);
    };
    const { ask, lines } = await start([
      ...[json(200, batchOf({ rows: 2 })), page('{"row":1}\n'), page('{"row":2}\n')],
    ]);
    const pages: string[] = [];
    await ask(async (batches) => {
      for await (const text of batches.resultsText('b')) pages.push(text);
    });
    expect(pages.join('')).toBe('{"row":1}\n{"row":2}\n');
    expect(lines()).toEqual([
      'GET /books/api/batches/b',
      'GET /books/api/batches/b/results?cursor=0&limit=1000',
      'GET /books/api/batches/b/results?cursor=1&limit=1000',
    ]);
  });
});

describe('the results of a batch', () => {
  const folder = mkdtempSync(join(tmpdir(), 'accubooks-results-test-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const signal = new AbortController().signal;

  test('are a file once they are whole, and the file that was there before until then', async () => {
    const path = join(folder, 'results.csv');
    const batches = (text: string, failure?: Error) => ({
      async *resultsText() {
        yield text;
        if (failure !== undefined) throw failure;
      },
    });
    const save = (text: string, failure?: Error) =>
      saveResults({ batches: batches(text, failure) as unknown as Batches, signal }, 'b', path);
    await save('one');
    await expect(save('two', new Error('It ends early.'))).rejects.toThrow('It ends early.');
    expect([readFileSync(path, 'utf8'), readdirSync(folder)]).toEqual(['one', ['results.csv']]);
    await save('three');
    expect(readFileSync(path, 'utf8')).toBe('three');
  });
});

describe('the sample file', () => {
  test('has a thousand payments without keys on the large invoice of the demo', async () => {
    const file = readFileSync(new URL('../../deploy/batch/samples/payments-1000.jsonl', import.meta.url));
    const about = { operations: OPERATIONS, operation: createPayment, sha256: SHA };
    const writes = (await readFile(file)).map((row) => checkRow(row, about));
    expect(writes).toHaveLength(1_000);
    expect(writes.filter((write) => 'code' in write || write.keyGiven)).toEqual([]);
    const bodies = writes.map((write) =>
      'input' in write ? (write.input.body as { invoiceId: string; amount: number }) : undefined,
    );
    expect(new Set(bodies.map((body) => body?.invoiceId))).toEqual(new Set([DEMO.partlyPaidInvoiceId]));
    // The seed leaves a hundred times as much due on it.
    expect(bodies.reduce((sum, body) => sum + (body?.amount ?? 0), 0)).toBeLessThan(1_000_000);
  });
});
