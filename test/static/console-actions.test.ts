import { describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import {
  aboutPath,
  amountAskedFor,
  amountOf,
  demandInWords,
  headline,
  mayDecide,
  wouldBeLast,
} from '../../deploy/console/page/approval-words.ts';
import { actionsOf, progressOf } from '../../deploy/console/page/batch-words.ts';
import { eventOf, mayCancel } from '../../deploy/console/page/write-actions.ts';

const NOBODY = { userId: '', roles: [] };
const as = (userId: string, ...roles: string[]) => ({ userId, roles });

describe('a cancel', () => {
  const running = { state: 'running', actor: { userId: 'ann' }, operation: 'createPayment' } as const;

  test('is offered to the actor, to owners and admins, and to the roles of the operation; to nobody else', () => {
    for (const role of ['owner', 'admin', 'accountant']) expect(mayCancel(running, as('bob', role))).toBe(true);
    expect(mayCancel(running, as('ann', 'employee'))).toBe(true);
    for (const role of ['manager', 'auditor', 'employee']) expect(mayCancel(running, as('bob', role))).toBe(false);
    expect(mayCancel({ ...running, actor: { userId: null } }, NOBODY)).toBe(false);
    expect(mayCancel({ ...running, actor: { userId: '' } }, NOBODY)).toBe(false);
    for (const { name, roles } of OPERATIONS)
      for (const role of roles) expect(mayCancel({ ...running, operation: name }, as('bob', role))).toBe(true);
  });

  test('is not offered for what has its outcome', () => {
    for (const state of ['succeeded', 'rejected', 'cancelled'] as const)
      expect(mayCancel({ ...running, state }, as('bob', 'owner'))).toBe(false);
    for (const state of ['pending_approval', 'failed', 'lost', 'unknown'] as const)
      expect(mayCancel({ ...running, state }, as('bob', 'owner'))).toBe(true);
  });
});

describe('a decision', () => {
  const waiting = {
    state: 'pending_approval',
    actor: { userId: 'ann' },
    approvals: [],
    demands: [
      { roles: ['owner', 'admin'], count: 2, given: 1 },
      { roles: ['accountant'], count: 1, given: 1 },
    ],
  } as const;
  const decided = (userId: string) =>
    ({ userId, decision: 'approved', comment: null, at: '2026-01-01T00:00:00Z' }) as const;
  const waitingFor = (change: object) => ({ ...structuredClone(waiting), ...change }) as unknown as typeof write;
  const write = structuredClone(waiting) as unknown as Parameters<typeof mayDecide>[0];

  test('is offered to who has a role that is asked for, has not asked, and has not decided', () => {
    expect(mayDecide(write, as('bob', 'owner'))).toBe(true);
    expect(mayDecide(write, as('bob', 'manager'))).toBe(false);
    expect(mayDecide(write, as('ann', 'owner'))).toBe(false);
    expect(mayDecide(write, as('', 'owner'))).toBe(false);
    expect(mayDecide(waitingFor({ approvals: [decided('bob')] }), as('bob', 'owner'))).toBe(false);
    expect(mayDecide(waitingFor({ state: 'running' }), as('bob', 'owner'))).toBe(false);
    expect(mayDecide(waitingFor({ demands: undefined }), as('bob', 'owner'))).toBe(false);
  });

  test('is called the last one only where all that is asked for is met with it', () => {
    expect(wouldBeLast(write, as('bob', 'owner'))).toBe(true);
    expect(wouldBeLast(write, as('bob', 'accountant'))).toBe(false);
    expect(wouldBeLast(waitingFor({ demands: [{ roles: ['owner'], count: 3, given: 1 }] }), as('bob', 'owner'))).toBe(
      false,
    );
  });

  test('is told with the amount that is asked for, and with what the policy asks for', () => {
    expect(amountAskedFor({ body: { amount: 123_456, currency: 'USD' } })).toBe('1,234.56 USD');
    for (const other of [null, {}, { body: {} }, { body: { amount: 1.5, currency: 'USD' } }, { body: { amount: 1 } }])
      expect(amountAskedFor(other)).toBeUndefined();
    const lines = [
      { amount: 9_999_900, currency: 'USD' },
      { amount: -9_999_900, currency: 'USD' },
    ];
    expect(amountAskedFor({ body: { lines } })).toBe('99,999.00 USD');
    expect(amountAskedFor({ body: { lines: [{ quantity: 1 }] } })).toBeUndefined();
    const invoiceId = '../users';
    const change = { operation: 'finalizeInvoice', request: { params: { invoiceId } } };
    expect(aboutPath(change)).toBe('/api/invoices/..%2Fusers');
    expect(aboutPath({ operation: 'createPayment', request: { params: {} } })).toBeUndefined();
    expect(aboutPath({ operation: 'finalizeInvoice', request: null })).toBeUndefined();
    expect(aboutPath({ operation: 'createRefund', request: { params: {}, body: { paymentId: 'p' } } })).toBe(
      '/api/payments/p',
    );
    expect(amountOf({ body: { amount: 50 } }, { currency: 'USD' })).toBe('0.50 USD');
    expect(amountOf({ body: { amount: 50, currency: 'JPY' } }, { currency: 'USD' })).toBeUndefined();
    expect(headline({ id: 'x', number: 'INV-1', total: 123_456, currency: 'JPY' })).toBe('INV-1, 123,456 JPY');
    expect(headline({ id: 'x', total: 1 })).toBe('x');
    expect(demandInWords({ roles: ['owner', 'inventory_manager'], count: 2, given: 1 })).toBe(
      '1 of 2 approvals by owner or inventory manager',
    );
  });
});

test('the event of a write is found in its timeline, whether its delivery was given up or not', () => {
  const at = '2026-01-01T00:00:00Z';
  const recorded = {
    at,
    kind: 'event_recorded',
    detail: 'payment.created, given up after 9 calls of the webhook',
  } as const;
  expect(
    eventOf({
      timeline: [
        { at, kind: 'requested' },
        { ...recorded, eventId: 'e' },
      ],
    }),
  ).toEqual({
    id: 'e',
    kind: 'payment.created',
  });
  expect(eventOf({ timeline: [recorded] })).toBeUndefined();
  expect(eventOf({ timeline: [] })).toBeUndefined();
});

describe('a batch', () => {
  const counts = {
    ...{ pending: 3, pendingApproval: 0, succeeded: 5, replayed: 0, rejected: 0, mismatched: 0 },
    ...{ refused: 0, failed: 0, cancelled: 0 },
  };

  test('has progress once its file is there', () => {
    expect(progressOf({ rows: null, counts })).toBeUndefined();
    expect(progressOf({ rows: 8, counts })).toEqual({ done: 5, rows: 8 });
  });

  test('can be paused, resumed and cancelled while it is not over, and tried again where rows are left', () => {
    const actions = (state: Parameters<typeof actionsOf>[0]['state'], more = {}) =>
      actionsOf({ state, counts: { ...counts, ...more }, completedAt: null });
    expect(actions('running')).toEqual(['pause', 'cancel']);
    expect(actions('queued')).toEqual(['pause', 'cancel']);
    expect(actions('paused')).toEqual(['resume', 'cancel']);
    expect(actions('receiving')).toEqual(['cancel']);
    expect(actions('cancelled', { failed: 1 })).toEqual([]);
    const completedAt = '2026-01-01T00:00:00Z';
    expect(actionsOf({ state: 'completed', counts, completedAt })).toEqual([]);
    expect(actionsOf({ state: 'completed', counts: { ...counts, refused: 1 }, completedAt })).toEqual(['retry-failed']);
  });
});
