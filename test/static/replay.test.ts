import { describe, expect, test } from 'vitest';
import type { Row } from '../../activities/batches/row.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import type { Answer, Http } from '../../deploy/client/src/http.ts';
import { replay } from '../../deploy/replay/replay.ts';
import type { Result } from '../../deploy/replay/results.ts';

const GIVE_UP_AFTER_MS = 400;

describe('the rows of a file', () => {
  test('are told by what stands for ever, and by what does not', async () => {
    const { tally, results } = await send([
      answer(201, '{"id":"1"}'),
      { ...answer(200, '{"id":"2"}'), replayed: true },
      problem(409, 'invoice_not_payable', 'use_new_key'),
      problem(409, 'write_cancelled', 'use_new_key'),
      problem(422, 'validation_failed', 'fix_request', 'r'),
      problem(422, 'idempotency_key_reused', 'use_new_key', 'r'),
      problem(500, 'write_record_missing', 'none', 'r'),
      problem(500, 'write_failed', 'retry_same_key', 'r'),
    ]);
    expect(results.map(({ row, outcome }) => [row, outcome])).toEqual([
      [1, 'succeeded'],
      [2, 'succeeded'],
      [3, 'rejected'],
      [4, 'cancelled'],
      [5, 'refused'],
      [6, 'refused'],
      [7, 'lost'],
      [8, 'unknown'],
    ]);
    expect(results[7]?.problem).toMatchObject({ answers: { '500 write_failed': expect.any(Number) } });
    expect(tally).toMatchObject({
      rows: 8,
      succeeded: 2,
      replayed: 1,
      rejected: 1,
      cancelled: 1,
      lost: 1,
      refused: 2,
      unknown: 1,
    });
  });

  test('that wait for an approval are told so, once, and the others go on', async () => {
    const waiting = { state: 'pending_approval', approvalsNeeded: 2, expiresAt: '2026-03-01T00:00:00Z' };
    const { tally, results, requests } = await send([
      { ...answer(202, JSON.stringify(waiting)), location: '/api/writes/1' },
      answer(201, '{"id":"2"}'),
    ]);
    expect(results).toMatchObject([
      { outcome: 'pending_approval', status: 202, approval: { approvalsNeeded: 2 }, location: '/api/writes/1' },
      { outcome: 'succeeded' },
    ]);
    expect([tally.pending_approval, tally.succeeded, tally.stopped, requests]).toEqual([1, 1, undefined, 2]);
  });

  test.each<[string, Answer]>([
    ['a login page', { ...answer(200, '<html>please log in</html>'), contentType: 'text/html' }],
    ['a gateway’s page', { ...answer(404, '<html>'), contentType: 'text/html' }],
    ['a gateway’s error', answer(504, '{"code":"101504"}')],
    ['a gateway’s JSON', answer(200, '{"status":"maintenance"}')],
  ])('are unknown after %s, which says nothing of the write', async (_, answered) => {
    const made = answer(201, '{"id":"1"}');
    const { results } = await send([{ ...answered, key: 'none' }, made, made, made], { concurrency: 2 });
    expect(results.map(({ outcome }) => outcome).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
      'succeeded',
      'succeeded',
      'succeeded',
      'unknown',
    ]);
  });

  test('are written as programs read them, whatever else the client knows of an answer', async () => {
    const made = { ...answer(201, '{"id":"1"}'), location: '/api/payments/1' };
    const { results } = await send([
      made,
      { ...made, replayed: true },
      problem(409, 'invoice_not_payable', 'use_new_key'),
      { ...problem(409, 'write_cancelled', 'use_new_key'), replayed: true },
      problem(422, 'validation_failed', 'fix_request', 'r'),
      problem(500, 'write_record_missing', 'none', 'r'),
    ]);
    const beginning = /^{"row":(\d),"line":\1,"key":"\1","keyFrom":"row","request":"[0-9a-f]{32}",/;
    const lines = results.map((result) => JSON.stringify(result).replace(beginning, '{'));
    expect(lines).toEqual([
      '{"outcome":"succeeded","status":201,"replayed":false,"location":"/api/payments/1","resource":{"id":"1"}}',
      '{"outcome":"succeeded","status":201,"replayed":true,"location":"/api/payments/1","resource":{"id":"1"}}',
      '{"outcome":"rejected","status":409,"replayed":false,"problem":{"status":409,"code":"invoice_not_payable","detail":"It is.","retryable":false,"nextAction":"use_new_key"}}',
      '{"outcome":"cancelled","status":409,"replayed":true,"problem":{"status":409,"code":"write_cancelled","detail":"It is.","retryable":false,"nextAction":"use_new_key"}}',
      '{"outcome":"refused","status":422,"problem":{"status":422,"code":"validation_failed","detail":"It is.","retryable":false,"nextAction":"fix_request","requestId":"r"}}',
      '{"outcome":"lost","status":500,"problem":{"status":500,"code":"write_record_missing","detail":"It is.","retryable":false,"nextAction":"none","requestId":"r"}}',
    ]);
    const { results: unknown } = await send([answer(202, '{}')], { deadlineMs: 400 });
    expect(JSON.stringify(unknown[0]?.problem)).toBe(
      '{"detail":"It was accepted but has no outcome yet.","answers":{"202":1}}',
    );
  });

  test('that cannot be read or sent are told by their own keys, and not sent', async () => {
    const input = { operation: undefined, params: {}, body: {} };
    const { results, requests } = await send([answer(201, '{}')], {
      before: [
        { row: 1, line: 1, malformed: 'not a number', key: 'mine' },
        { row: 2, line: 2, malformed: 'not JSON' },
        { row: 3, line: 3, input: { ...input, key: 'also mine', params: { more: 'x' } } },
        { row: 4, line: 4, malformed: 'not a number', key: 7 },
      ],
    });
    expect(results.map(({ outcome, key, keyFrom }) => [outcome, key, keyFrom])).toEqual([
      ['malformed', 'mine', 'row'],
      ['malformed', undefined, undefined],
      ['malformed', 'also mine', 'row'],
      ['malformed', undefined, undefined],
      ['succeeded', '1', 'row'],
    ]);
    expect([JSON.stringify(results[0]), requests]).toEqual([
      '{"row":1,"line":1,"key":"mine","keyFrom":"row","outcome":"malformed","problem":{"detail":"not a number"}}',
      1,
    ]);
  });

  test('are sent no further where each would be refused as the last one was', async () => {
    for (const refusal of [
      problem(401, 'unauthenticated', 'fix_request', 'r'),
      problem(403, 'forbidden', 'fix_request', 'r'),
      problem(404, 'route_not_found', 'fix_request', 'r'),
    ]) {
      const { tally, requests } = await send([answer(201, '{}'), refusal, answer(201, '{}')]);
      expect(tally.stopped).toMatch(/^row 2: /);
      expect([tally.rows, tally.succeeded, tally.refused, requests]).toEqual([2, 1, 1, 2]);
    }
    // Stored for this row alone: the role was missing when its transaction ran.
    const { tally } = await send([problem(403, 'forbidden', 'use_new_key'), answer(201, '{}')]);
    expect(tally).toMatchObject({ rows: 2, rejected: 1, succeeded: 1, stopped: undefined });
  });

  test('are sent no further where nothing answers, but past a row that alone gets no answer', async () => {
    const dead = await send([undefined, undefined, undefined]);
    expect(dead.tally).toMatchObject({ rows: 1, unknown: 1, stopped: expect.stringContaining('no answer') });
    const poisoned = await send([undefined, answer(201, '{}'), answer(201, '{}'), answer(201, '{}')], {
      concurrency: 2,
    });
    expect(poisoned.tally).toMatchObject({ rows: 4, unknown: 1, succeeded: 3, stopped: undefined });
  });

  test('are read no faster than they are answered', async () => {
    let read = 0;
    const ahead: number[] = [];
    const { tally } = await send(
      Array.from({ length: 50 }, () => answer(201, '{}')),
      { concurrency: 4, onRead: () => (read += 1), onSent: (answered) => ahead.push(read - answered) },
    );
    expect(tally.rows).toBe(50);
    expect(Math.max(...ahead)).toBeLessThanOrEqual(5);
  });
});

/** Row by row the answers, the same to each request of a row; undefined is a connection that fails. */
async function send(
  answers: readonly (Answer | undefined)[],
  {
    concurrency = 1,
    deadlineMs = GIVE_UP_AFTER_MS,
    onRead = () => {},
    onSent = (_answered: number) => {},
    before = [] as readonly Row[],
  } = {},
) {
  const results: Result[] = [];
  let requests = 0;
  const http: Http = {
    async send({ key }) {
      requests += 1;
      // An answer takes its time, so that the rows of other lanes get theirs meanwhile.
      await new Promise((resolve) => setTimeout(resolve, 5));
      const answered = answers[Number(key) - 1];
      if (answered === undefined) throw new Error('connection refused');
      onSent(results.length);
      return { ...answered, key: answered.key ?? key };
    },
  };
  async function* rows(): AsyncGenerator<Row> {
    yield* before;
    for (let row = 1; row <= answers.length; row += 1) {
      onRead();
      yield { row, line: row, input: { key: String(row), operation: undefined, params: {}, body: {} } };
    }
  }
  const tally = await replay(rows(), {
    ...{
      http,
      concurrency,
      token: 't',
      target: 'here',
      operations: [createPayment],
      operation: createPayment,
      sha256: '',
      deadlineMs,
    },
    results: { settled: new Set(), append: (result) => results.push(result), close: () => {} },
    onRow: () => {},
  });
  return { tally, results, requests };
}

function answer(status: number, text: string): Answer {
  return {
    ...{ status, text, replayed: false, location: undefined, key: undefined },
    ...{ retryAfterMs: undefined, requestId: 'r', contentType: 'application/json; charset=utf-8' },
  };
}

/** With a request ID, nothing is stored for it. */
function problem(status: number, code: string, nextAction: string, ...ids: readonly string[]): Answer {
  const retryable = nextAction === 'retry_same_key';
  const body = { status, code, detail: 'It is.', retryable, nextAction, ...(ids[0] && { requestId: ids[0] }) };
  return { ...answer(status, JSON.stringify(body)), contentType: 'application/problem+json' };
}
