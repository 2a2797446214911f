import Fastify from 'fastify';
import { describe, expect, test } from 'vitest';
import { fingerprint } from '../../activities/identity.ts';
import { type Operation, parseInput } from '../../activities/operation.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import type { ApiContext } from '../../api/context.ts';
import { ApiProblem } from '../../api/http/problems.ts';
import type { Submission, SubmissionEnd } from '../../api/submit/submission.ts';
import { answerFromRow, type WriteRequest } from '../../api/writes/responses.ts';
import { registerWriteRoutes } from '../../api/writes/routes.ts';
import { deferred } from '../../worker/timeouts.ts';
import type { WireInput } from '../../workflows/messages.ts';

/** The order in which a request asks, and how long it waits for its audit row, with everything around it played. */
const COMPANY = '4d0c2e3a-7b1f-4e58-9c66-1a5b8f0d2e01';
const operation: Operation = createCustomer;
const body = { name: 'Customer' };
const input = parseInput(operation, { params: {}, body }) as WireInput;
const row = {
  outcome: 'succeeded',
  status_code: 201,
  submission_id: 'the-first',
  operation: operation.name,
  fingerprint: fingerprint(operation.name, input),
  location: null,
  response_body: Buffer.from('{"made":"once"}'),
} as unknown as WriteRow;

const count = { inc: () => undefined, observe: () => undefined };
const METRICS = {
  submissionsJoined: count,
  requestWait: count,
  writes: count,
  replayed: count,
  duration: count,
  failed: count,
};

const contextOf = (parts: object) =>
  ({
    operations: [operation],
    metrics: METRICS,
    audit: { record: async () => undefined },
    newWrites: { take: () => true },
    replays: { take: () => true },
    fence: { require: async () => undefined, isAwake: true, witnesses: { note: () => undefined } },
    ...parts,
  }) as unknown as ApiContext;

test('a submission that ends while its duplicate looks up the key answers the duplicate, which opens none', async () => {
  const looked = deferred<object>();
  const end = deferred<SubmissionEnd>();
  const submission = {
    stage: 'open',
    openedBy: 'this submission',
    end: end.promise,
    args: {},
  } as unknown as Submission;
  const current: { submission: Submission | undefined } = { submission };
  let opened = 0;
  const context = contextOf({
    lookups: { find: () => looked.promise },
    submit: {
      find: () => current.submission,
      open() {
        opened += 1;
        return submission;
      },
      wait: async () => ({ kind: 'end', end: await end.promise }),
    },
  });
  const app = Fastify();
  app.decorateRequest('writeId', '');
  app.decorateRequest('idempotencyKey', '');
  app.addHook('onRequest', async (request) => {
    request.caller = { companyId: COMPANY, subject: 'user' };
  });
  registerWriteRoutes(app, context);
  const answer = app.inject({
    method: 'POST',
    url: operation.path,
    headers: { 'idempotency-key': 'key' },
    payload: body,
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  // Committed after the lookup's snapshot and before its answer.
  end.resolve({ kind: 'row', row });
  current.submission = undefined;
  looked.resolve({ userId: 'user', roles: ['owner'], row: undefined });
  const { statusCode, body: text, headers } = await answer;
  expect([statusCode, text, headers['idempotent-replayed']]).toEqual([201, '{"made":"once"}', 'true']);
  expect(opened).toBe(0);
  await app.close();
});

/** A replay whose audit row takes so long, and whose answer is due in so long. */
function replay(auditMs: number, dueInMs: number) {
  const record = () => new Promise<void>((resolve) => void setTimeout(resolve, auditMs).unref());
  return answer(false, dueInMs, { audit: { record } });
}

async function answer(first: boolean, dueInMs: number, parts: object) {
  const sent: unknown[] = [];
  const headers: string[] = [];
  const same = () => reply;
  const header = (name: string) => {
    headers.push(name);
    return reply;
  };
  const reply = { code: same, type: same, header, send: (value: unknown) => void sent.push(value) };
  const writeRequest = {
    operation,
    idempotencyKey: 'key',
    content: { operation: operation.name, ...input, fingerprint: row.fingerprint },
    request: { id: 'request', method: 'POST', path: operation.path },
    arrivedAtMs: performance.now(),
    deadline: { answerByMs: performance.now() + dueInMs },
  } as unknown as WriteRequest;
  const sinceMs = performance.now();
  const answered = answerFromRow(reply as never, row, writeRequest, first, contextOf(parts));
  const code = await answered.then(
    () => undefined,
    (error: unknown) => (error instanceof ApiProblem ? error.code : error),
  );
  const isMarked = headers.includes('idempotent-replayed');
  return { code, isMarked, sent: sent.map(String), tookMs: performance.now() - sinceMs };
}

test('an answer waits for its audit row until its deadline, and no longer', async () => {
  const refused = await replay(3_000, 700);
  expect([refused.code, refused.sent]).toEqual(['storage_unavailable', []]);
  expect(refused.tookMs).toBeGreaterThanOrEqual(690);
});

test('an outcome that comes just before the deadline still has time for its audit row', async () => {
  expect(await replay(100, 1)).toMatchObject({ code: undefined, sent: ['{"made":"once"}'] });
});

describe('a process that stood still while it held an outcome, which may be of a server that is gone,', () => {
  const asleep = (found: WriteRow | undefined) => ({
    fence: { isAwake: false, witnesses: { note: () => undefined } },
    lookups: { findRow: async () => found },
  });

  test('answers with it where it is still there', async () => {
    expect(await answer(true, 700, asleep(row))).toMatchObject({ isMarked: false, sent: ['{"made":"once"}'] });
  });

  test('says that the outcome is unknown where its row is gone', async () => {
    expect(await answer(true, 700, asleep(undefined))).toMatchObject({ code: 'outcome_unknown', sent: [] });
  });

  test('answers with the write that was made meanwhile, as a replay', async () => {
    const other = { ...row, submission_id: 'another', response_body: Buffer.from('{"made":"anew"}') };
    expect(await answer(true, 700, asleep(other))).toMatchObject({ isMarked: true, sent: ['{"made":"anew"}'] });
  });
});
