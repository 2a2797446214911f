import { describe, expect, test } from 'vitest';
import { createPayment } from '../../activities/operations/create-payment.ts';
import type { Answer, Http } from '../../deploy/client/src/http.ts';
import { replay } from '../../deploy/replay/replay.ts';
import type { Result } from '../../deploy/replay/results.ts';
import type { Row } from '../../deploy/replay/rows.ts';

const GIVE_UP_AFTER_MS = 400;

describe('the rows of a file', () => {
  test('are told by what stands for ever, and by what does not', async () => {
    const { tally, results } = await send([
      answer(201, '{"id":"1"}'),
      { ...answer(200, '{"id":"2"}'), replayed: true },
      answer(409, '{"code":"invoice_not_payable","nextAction":"use_new_key"}'),
      answer(409, '{"code":"write_cancelled","nextAction":"use_new_key"}'),
      answer(422, '{"code":"validation_failed","nextAction":"fix_request","requestId":"r"}'),
      answer(422, '{"code":"idempotency_key_reused","nextAction":"use_new_key","requestId":"r"}'),
      { ...answer(200, '<html>please log in</html>'), contentType: 'text/html' },
      answer(500, '{"code":"write_record_missing","nextAction":"none","requestId":"r"}'),
      answer(500, '{"code":"write_failed","nextAction":"retry_same_key","requestId":"r"}'),
    ]);
    expect(results.map(({ row, outcome }) => [row, outcome])).toEqual([
      [1, 'succeeded'],
      [2, 'succeeded'],
      [3, 'rejected'],
      [4, 'cancelled'],
      [5, 'refused'],
      [6, 'refused'],
      [7, 'refused'],
      [8, 'lost'],
      [9, 'unknown'],
    ]);
    expect(results[8]?.problem).toMatchObject({ answers: { '500 write_failed': expect.any(Number) } });
    expect(tally).toMatchObject({
      rows: 9,
      succeeded: 2,
      replayed: 1,
      rejected: 1,
      cancelled: 1,
      lost: 1,
      refused: 3,
      unknown: 1,
    });
  });

  test('are written as programs read them, whatever else the client knows of an answer', async () => {
    const made = { ...answer(201, '{"id":"1"}'), location: '/api/payments/1' };
    const { results } = await send([
      made,
      { ...made, replayed: true },
      answer(409, '{"code":"invoice_not_payable","nextAction":"use_new_key"}'),
      { ...answer(409, '{"code":"write_cancelled","nextAction":"use_new_key"}'), replayed: true },
      answer(422, '{"code":"validation_failed","nextAction":"fix_request","requestId":"r"}'),
      answer(404, '{"message":"no such host"}'),
      { ...answer(200, '<html>'), contentType: 'text/html' },
      answer(500, '{"code":"write_record_missing","nextAction":"none","requestId":"r"}'),
    ]);
    const beginning = /^{"row":(\d),"line":\1,"key":"\1","keyFrom":"row","request":"[0-9a-f]{32}",/;
    const lines = results.map((result) => JSON.stringify(result).replace(beginning, '{'));
    expect(lines).toEqual([
      '{"outcome":"succeeded","status":201,"replayed":false,"location":"/api/payments/1","resource":{"id":"1"}}',
      '{"outcome":"succeeded","status":201,"replayed":true,"location":"/api/payments/1","resource":{"id":"1"}}',
      '{"outcome":"rejected","status":409,"replayed":false,"problem":{"code":"invoice_not_payable","nextAction":"use_new_key"}}',
      '{"outcome":"cancelled","status":409,"replayed":true,"problem":{"code":"write_cancelled","nextAction":"use_new_key"}}',
      '{"outcome":"refused","status":422,"problem":{"code":"validation_failed","nextAction":"fix_request","requestId":"r"}}',
      '{"outcome":"refused","status":404,"problem":{"message":"no such host"}}',
      '{"outcome":"refused","status":200,"problem":{"detail":"The answer is not JSON from the API."}}',
      '{"outcome":"lost","status":500,"problem":{"code":"write_record_missing","nextAction":"none","requestId":"r"}}',
    ]);
    const { results: unknown } = await send([answer(202, '{}')], { deadlineMs: 0 });
    expect(JSON.stringify(unknown[0]?.problem)).toBe(
      '{"detail":"It was accepted but has no outcome yet.","answers":{"202":1}}',
    );
  });

  test('are sent no further where each would be refused as the last one was', async () => {
    for (const refusal of [
      answer(401, '{"code":"unauthenticated","nextAction":"fix_request","requestId":"r"}'),
      answer(403, '{"code":"forbidden","nextAction":"fix_request","requestId":"r"}'),
      answer(404, '{"code":"route_not_found","nextAction":"fix_request","requestId":"r"}'),
    ]) {
      const { tally, requests } = await send([answer(201, '{}'), refusal, answer(201, '{}')]);
      expect(tally.stopped).toMatch(/^row 2: /);
      expect([tally.rows, tally.succeeded, tally.refused, requests]).toEqual([2, 1, 1, 2]);
    }
    // Stored for this row alone: the role was missing when its transaction ran.
    const { tally } = await send([answer(403, '{"code":"forbidden","nextAction":"use_new_key"}'), answer(201, '{}')]);
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
  { concurrency = 1, deadlineMs = GIVE_UP_AFTER_MS, onRead = () => {}, onSent = (_answered: number) => {} } = {},
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
      return answered;
    },
  };
  async function* rows(): AsyncGenerator<Row> {
    for (let row = 1; row <= answers.length; row += 1) {
      onRead();
      yield { row, line: row, input: { key: String(row), params: {}, body: {} } };
    }
  }
  const tally = await replay(rows(), {
    ...{
      http,
      concurrency,
      token: 't',
      target: 'here',
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
    ...{ status, text, replayed: false, location: undefined },
    ...{ retryAfterMs: undefined, requestId: 'r', contentType: undefined },
  };
}
