import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rowId } from '../../activities/identity.ts';
import { type Input, parseInput } from '../../activities/operation.ts';
import { createRefund } from '../../activities/operations/create-refund.ts';
import { NUMBER_TO_COME } from '../../activities/resources/document-number.ts';
import type { Change } from '../../activities/short-day.ts';
import type { SetOperation } from '../../activities/write/run-set.ts';
import { decideContext } from '../support/decide-context.ts';
import { outcomeOf } from '../support/outcome-of.ts';

const { decide } = (createRefund as SetOperation).set;

const INVOICE = '0e5f5f3c-2f4b-4c39-8d55-6a8f5f1d0a01';
const PAYMENTS = ['9d7c1e52-1b6a-4d7e-8c3b-2a5e4f6d0b01', '9d7c1e52-1b6a-4d7e-8c3b-2a5e4f6d0b02'] as const;
const NONE = '9d7c1e52-1b6a-4d7e-8c3b-2a5e4f6d0b03';

describe('a refund', () => {
  test('is refused for the first of all its faults, and a refused one leaves nothing', () => {
    // Each step corrects the fault of the one before; the last one is right.
    const steps: readonly [object, string, string, string | undefined][] = [
      [{ paymentId: NONE }, 'payment_not_found', `There is no payment ${NONE}.`, '/paymentId'],
      [{ paymentId: PAYMENTS[0] }, 'refund_exceeds_payment', '0.70 EUR is left of the payment.', '/amount'],
      [{ amount: 70 }, 'date_before_original', 'The original is dated 2026-01-20, which is after 2026-01-19.', '/date'],
      [{ date: '2026-01-20' }, 'period_closed', 'The books are closed through 2026-01-31.', '/date'],
      [{ date: '2027-03-12' }, 'date_too_late', 'The company posts nothing that is dated after 2027-03-11.', '/date'],
    ];
    const state = stateOf(30n);
    let body: object = { amount: 71, date: '2026-01-19' };
    for (const [correction, code, message, pointer] of steps) {
      body = { ...body, ...correction };
      expect(() => decide(state, refund(body), decideContext())).toThrow(
        expect.objectContaining({ code, message, pointer: pointer && { in: 'body', pointer } }),
      );
      expect(state).toEqual(stateOf(30n));
    }
    decide(state, refund({ ...body, date: '2026-02-01' }), decideContext());
    expect(state.refunds).toHaveLength(1);
  });

  test('of a payment that is dated in the future has to name its date, since it cannot be today', () => {
    const state = stateOf(0n, { receivedOn: '2026-04-01' });
    expect(() => decide(state, refund({ date: undefined }), decideContext())).toThrow(
      expect.objectContaining({
        code: 'date_before_original',
        message:
          "The original is dated 2026-04-01, which is after 2026-03-10. Without a date, it would be today's: give a date on or " +
          'after 2026-04-01.',
        pointer: { in: 'body', pointer: '/date' },
      }),
    );
    decide(state, refund({ date: '2026-04-01' }), decideContext());
    expect(state.refunds).toHaveLength(1);
  });

  test('is answered with its row, and dated today unless it says otherwise', () => {
    const context = decideContext();
    const body = { date: undefined, metadata: { ticket: 'T-1', a: 'a', 10: 'ten' } };
    const written = decide(stateOf(0n), refund(body), context);
    expect(JSON.stringify(written)).toBe(
      JSON.stringify({
        resourceId: context.writeId,
        body: {
          id: context.writeId,
          number: NUMBER_TO_COME,
          paymentId: PAYMENTS[0],
          invoiceId: INVOICE,
          amount: 60,
          currency: 'EUR',
          date: '2026-03-10',
          reason: 'Too much',
          voidedOn: null,
          voidReason: null,
          journalEntryId: rowId(context.writeId, 'journal_entries', 0),
          metadata: { 10: 'ten', a: 'a', ticket: 'T-1' },
          createdAt: '2026-03-10T12:00:00.000Z',
        },
      }),
    );
  });

  test('posts what is due again against the bank account of its payment', () => {
    const state = stateOf(0n);
    decide(state, refund({}), decideContext());
    expect(state.entries).toEqual([
      expect.objectContaining({
        date: '2026-03-01',
        lines: [
          expect.objectContaining({ role: 'receivable', amount: '60', currency: 'EUR' }),
          expect.objectContaining({ account: '1010', amount: '-60', currency: 'EUR' }),
        ],
      }),
    ]);
  });

  test('is refused for a payment that is void', () => {
    const refusal = { code: 'refund_exceeds_payment', pointer: { in: 'body', pointer: '/paymentId' } };
    const state = stateOf(0n, { voidedOn: '2026-02-20' });
    expect(() => decide(state, refund({ amount: 1 }), decideContext())).toThrow(expect.objectContaining(refusal));
  });

  test('gives back no more than is paid as of any day, where another was voided later, nor two of one set together', () => {
    // As of the 5th, 150 of both payments had gone back; on the 10th, that was voided.
    const voided = [{ day: '2026-03-10', amount: 150n }];
    const takeFrom = (state: ReturnType<typeof stateOf>) => (paymentId: string, amount: number, day: string) =>
      outcomeOf(() => decide(state, refund({ paymentId, amount, date: day }), decideContext()));
    const take = takeFrom(stateOf(0n, { later: voided }));
    expect(take(PAYMENTS[0], 51, '2026-03-05')).toBe('as_of_conflict');
    expect(take(PAYMENTS[0], 30, '2026-03-05')).toBe('succeeded');
    expect(take(PAYMENTS[1], 21, '2026-03-09')).toBe('as_of_conflict');
    expect(take(PAYMENTS[1], 20, '2026-03-09')).toBe('succeeded');
    expect(take(PAYMENTS[1], 80, '2026-03-10')).toBe('succeeded');
    // What goes back only later leaves as much before.
    const takeAgain = takeFrom(stateOf(0n, { later: voided }));
    expect(takeAgain(PAYMENTS[0], 30, '2026-03-12')).toBe('succeeded');
    expect(takeAgain(PAYMENTS[1], 51, '2026-03-05')).toBe('as_of_conflict');
    expect(takeAgain(PAYMENTS[1], 50, '2026-03-05')).toBe('succeeded');
  });

  test('is taken exactly if what the others of its payment have left covers it', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 100n }),
        fc.array(fc.record({ paymentId: fc.constantFrom(...PAYMENTS), amount: fc.integer({ min: 1, max: 60 }) })),
        (refundedMinor, requests) => {
          const state = stateOf(refundedMinor);
          const left = new Map(PAYMENTS.map((id) => [id, 100n - refundedMinor]));
          for (const request of requests) {
            const rest = (left.get(request.paymentId) ?? 0n) - BigInt(request.amount);
            const expected = rest < 0n ? 'refund_exceeds_payment' : 'succeeded';
            if (rest >= 0n) left.set(request.paymentId, rest);
            expect(outcomeOf(() => decide(state, refund(request), decideContext()))).toBe(expected);
          }
          for (const id of PAYMENTS) {
            const taken = state.refunds.filter((one) => one.payment_id === id).map((one) => one.amount_minor);
            expect(taken.reduce((sum, minor) => sum + minor, refundedMinor)).toBe(100n - (left.get(id) ?? 0n));
          }
        },
      ),
    );
  });
});

/** Payments of 100 of one invoice, of which `refundedMinor` has gone back already; `later` is what changes the rest again. */
function stateOf(
  refundedMinor: bigint,
  {
    receivedOn = '2026-01-20',
    voidedOn = null,
    later = [],
  }: { receivedOn?: string; voidedOn?: string | null; later?: readonly Change[] } = {},
) {
  const room = { balance: 2n * (100n - refundedMinor), later };
  return {
    payments: new Map(
      PAYMENTS.map((id) => [
        id as string,
        {
          id,
          invoice_id: INVOICE,
          amount_minor: 100n,
          refunded_minor: refundedMinor,
          currency: 'EUR',
          received_on: receivedOn,
          voided_on: voidedOn,
          bank_account: '1010',
          room,
        },
      ]),
    ),
    facts: {
      now: '2026-03-10T12:00:00.000Z',
      today: '2026-03-10',
      closedThrough: '2026-01-31',
      latest: '2027-03-11',
      accounts: new Map(),
    },
    refunds: [] as { readonly payment_id: string; readonly amount_minor: bigint }[],
    entries: [] as { readonly lines: readonly { readonly account: string; readonly amount: string }[] }[],
  };
}

function refund(body: object): Input {
  const usual = { paymentId: PAYMENTS[0], amount: 60, reason: 'Too much', date: '2026-03-01' };
  return parseInput(createRefund, { params: {}, body: { ...usual, ...body } });
}
