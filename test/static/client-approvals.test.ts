import { afterEach, describe, expect, test } from 'vitest';
import { createClient } from '../../deploy/client/src/client.ts';
import { ApprovalPendingError } from '../../deploy/client/src/errors.ts';
import type { KeptWrite } from '../../deploy/client/src/keys.ts';
import { exitCodeOf, reportText } from '../../deploy/replay/report.ts';
import { type Answerer, json, startAnswering } from '../support/answering-server.ts';

const PAYMENT = { invoiceId: 'i', amount: 10_000, currency: 'USD', method: 'card' } as const;
const WAITING = {
  key: 'k',
  state: 'pending_approval',
  approvals: [],
  approvalsNeeded: 1,
  expiresAt: '2026-03-01T00:00:00Z',
};
const PENDING = json(202, WAITING, { location: '/api/writes/k', 'retry-after': '60' });
const MADE = json(201, { id: '1' }, { 'idempotent-replayed': 'true' });

describe('a write that waits for its approval', () => {
  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  async function serve(...answerers: Answerer[]) {
    const server = await startAnswering(answerers);
    closing.push(server.close);
    const kept: string[] = [];
    const keyStore = {
      keep: async (write: KeptWrite) => void kept.push(write.idempotencyKey),
      settle: async (key: string) => void kept.splice(kept.indexOf(key), 1),
    };
    return { ...server, kept, books: createClient({ baseUrl: server.url, token: 't', keyStore }) };
  }

  test('is told after one request, is not asked for again, and stays kept', async () => {
    const { books, seen, kept } = await serve(PENDING);
    const pending = await books.payments.create(PAYMENT, { idempotencyKey: 'k' }).orPending();
    expect(pending).toMatchObject({ state: 'pending_approval', idempotencyKey: 'k', write: { approvalsNeeded: 1 } });
    expect([seen.length, kept]).toEqual([1, ['k']]);
  });

  test('is neither a success nor a failure for a program that expects a payment', async () => {
    const { books, seen } = await serve(PENDING);
    const error = await books.payments.create(PAYMENT, { idempotencyKey: 'k' }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ApprovalPendingError);
    expect(error).toMatchObject({ idempotencyKey: 'k', status: 202, write: WAITING });
    expect(seen.length).toBe(1);
  });

  test('is followed by a program that waits for it, and told as what it becomes', async () => {
    const { books, kept } = await serve(
      PENDING,
      json(200, WAITING),
      json(200, { ...WAITING, state: 'running' }),
      json(200, { ...WAITING, state: 'succeeded' }),
      MADE,
    );
    const end = await books.payments.create(PAYMENT, { idempotencyKey: 'k', waitForApproval: true }).orPending();
    expect(end).toMatchObject({ state: 'succeeded', replayed: true, resource: { id: '1' } });
    expect(kept).toEqual([]);
  });

  test('is told as waiting where the time of the call is over before', async () => {
    const { books } = await serve(PENDING, json(200, WAITING));
    const call = { idempotencyKey: 'k', waitForApproval: true, deadlineMs: 4_000 };
    expect(await books.payments.create(PAYMENT, call).orPending()).toMatchObject({ state: 'pending_approval' });
  });

  test('is told by its key alone', async () => {
    const { books, seen } = await serve(json(200, { ...WAITING, requestId: 'r' }));
    await expect(books.writes.resolve('k')).rejects.toMatchObject({
      name: 'ApprovalPendingError',
      write: { key: 'k' },
    });
    expect(seen.length).toBe(1);
    const later = await serve(
      json(200, { ...WAITING, requestId: 'r' }),
      json(200, { ...WAITING, requestId: 'r', state: 'succeeded', status: 201, response: { id: '1' }, location: '/x' }),
    );
    expect(await later.books.writes.resolve('k', { waitForApproval: true })).toMatchObject({ resource: { id: '1' } });
  });
});

describe('a file whose rows wait for approvals', () => {
  const tally = {
    ...{ rows: 2, succeeded: 1, replayed: 0, rejected: 0, cancelled: 0, pending_approval: 1, lost: 0 },
    ...{ refused: 0, unknown: 0, malformed: 0, skipped: 0, stopped: undefined },
  };

  test('is not complete, and has nothing that is wrong', () => {
    expect(exitCodeOf(tally)).toBe(3);
    expect(exitCodeOf({ ...tally, pending_approval: 0 })).toBe(0);
    expect(exitCodeOf({ ...tally, unknown: 1 })).toBe(1);
    expect(exitCodeOf({ ...tally, stopped: 'row 1: no answer' })).toBe(1);
    expect(reportText(tally, { total: 2, resultsPath: 'r' })).toContain(
      '1  pending_approval waiting for people to approve it',
    );
  });
});
