import { expect, test } from 'vitest';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import type { ChaosSent, Ran, Trouble } from '../../deploy/chaos/scenario.ts';
import { timelineOf } from '../../deploy/chaos/timeline.ts';

const answer = (status: number) => ({
  status,
  replayed: false,
  location: undefined,
  retryAfterMs: undefined,
  requestId: undefined,
  contentType: undefined,
  key: undefined,
  text: '',
});

function write(beganAt: number, latencyMs: number, status = 201): ChaosSent {
  const tenant = { companyId: 'c', token: 't' };
  return {
    tenant,
    operation: createCustomer,
    write: { method: 'POST', path: '/', token: 't', key: String(beganAt), body: '{}' },
    submitted: {
      final: answer(status),
      requests: 1,
      onTheWay: {},
      acknowledged: true,
      mayHaveHappened: false,
      lastError: undefined,
    },
    beganAt,
    answeredAt: beganAt + latencyMs,
    latencyMs,
  };
}

/** One write each 100 ms. */
function writes(from: number, to: number, latencyMs: number, status = 201): ChaosSent[] {
  return Array.from({ length: (to - from) / 100 }, (_, index) => write(from + index * 100, latencyMs, status));
}

function ran(sent: readonly ChaosSent[], troubles: readonly Trouble[]): Ran {
  return { sent, troubles, loadBeganAt: 0, loadEndedAt: 20_000 };
}

const TROUBLE = { beganAt: 5_000, endedAt: 8_000 };

test('the silence, the first success and the calm again are those of the writes', () => {
  const sent = [
    ...writes(0, 5_000, 10),
    write(5_000, 5_500), // answered 2.5 s after the trouble
    ...writes(10_500, 13_000, 400),
    ...writes(13_000, 20_000, 15),
  ];
  expect(timelineOf(ran(sent, [TROUBLE]))).toEqual({
    longestSilenceMs: 10_500 - 4_910,
    firstSuccessMs: 2_500,
    // The second from 13,000 on is the first that begins and ends without a slow write.
    steadyMs: 6_000,
  });
});

test('a rejection is no success, and a silence goes on beyond the end of the load', () => {
  const sent = [...writes(0, 5_000, 10), ...writes(5_000, 20_000, 10, 422), write(19_000, 4_000)];
  expect(timelineOf(ran(sent, [TROUBLE]))).toMatchObject({ longestSilenceMs: 23_000 - 4_910, firstSuccessMs: 15_000 });
});

test('without an answer after the trouble, neither is told, and the silence lasts until the end', () => {
  expect(timelineOf(ran(writes(0, 5_000, 10), [TROUBLE]))).toEqual({
    longestSilenceMs: 20_000 - 4_910,
    firstSuccessMs: null,
    steadyMs: null,
  });
});

test('of several troubles the worst counts', () => {
  const sent = [...writes(0, 5_000, 10), ...writes(8_100, 11_000, 10), ...writes(14_500, 20_000, 10)];
  const troubles = [TROUBLE, { beganAt: 11_000, endedAt: 14_000 }];
  expect(timelineOf(ran(sent, troubles))).toMatchObject({ firstSuccessMs: 510, steadyMs: 1_000 });
});
