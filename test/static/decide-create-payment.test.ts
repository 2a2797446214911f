import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rowId } from '../../activities/identity.ts';
import { type Input, parseInput } from '../../activities/operation.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { NUMBER_TO_COME } from '../../activities/resources/document-number.ts';
import type { SetOperation } from '../../activities/write/run-set.ts';
import { decideContext } from '../support/decide-context.ts';
import { outcomeOf } from '../support/outcome-of.ts';

const { decide } = (createPayment as SetOperation).set;

const INVOICE = '0e5f5f3c-2f4b-4c39-8d55-6a8f5f1d0a01';
const DRAFT = '0e5f5f3c-2f4b-4c39-8d55-6a8f5f1d0a02';
const NONE = '0e5f5f3c-2f4b-4c39-8d55-6a8f5f1d0a03';

describe('a payment', () => {
  test('is refused for the first of all its faults, and a refused one leaves nothing', () => {
    // Each step corrects the fault of the one before; the last one is right.
    const steps: readonly [object, string | undefined, string, string | undefined][] = [
      [{ invoiceId: NONE }, 'invoice_not_found', `There is no invoice ${NONE}.`, '/invoiceId'],
      [{ invoiceId: DRAFT }, 'invoice_not_payable', 'The invoice is draft.', '/invoiceId'],
      [{ invoiceId: INVOICE }, 'currency_mismatch', 'The invoice is in USD.', '/currency'],
      [{ currency: 'USD' }, 'payment_exceeds_outstanding', '1.00 USD is due on the invoice.', '/amount'],
      [{ amount: 100 }, 'account_not_usable', '1100 is not a bank account.', '/bankAccountCode'],
      [{ bankAccountCode: '9999' }, 'account_not_usable', '9999 is not a bank account.', '/bankAccountCode'],
      [
        { bankAccountCode: '1000' },
        'date_before_invoice',
        'The invoice is dated 2026-01-15, which is after 2026-01-14.',
        '/receivedOn',
      ],
      [
        { receivedOn: '2026-01-15' },
        'as_of_conflict',
        '0.99 USD is due on the invoice as of 2026-01-20.',
        '/receivedOn',
      ],
      [{ receivedOn: '2026-01-21' }, 'period_closed', 'The books are closed through 2026-01-31.', '/receivedOn'],
      [
        { receivedOn: '2027-03-12' },
        'date_too_late',
        'The company posts nothing that is dated after 2027-03-11.',
        '/receivedOn',
      ],
    ];
    // A cent of the invoice was paid until the 21st.
    const refunded = [
      { day: '2026-01-20', amount: -1n },
      { day: '2026-01-21', amount: 1n },
    ];
    const state = stateOf(100n, refunded);
    let body: object = { currency: 'EUR', amount: 101, bankAccountCode: '1100', receivedOn: '2026-01-14' };
    for (const [correction, code, message, pointer] of steps) {
      body = { ...body, ...correction };
      expect(() => decide(state, payment(body), decideContext())).toThrow(
        expect.objectContaining({ code, message, pointer: pointer && { in: 'body', pointer } }),
      );
      expect(state).toEqual(stateOf(100n, refunded));
    }
    decide(state, payment({ ...body, receivedOn: '2026-02-01' }), decideContext());
    expect(state.payments).toHaveLength(1);
  });

  test('is answered with its row, and dated today unless it says otherwise', () => {
    const context = decideContext();
    const body = { receivedOn: undefined, reference: undefined, metadata: { long: 'b', a: 'a' } };
    const written = decide(stateOf(100n), payment(body), context);
    expect(JSON.stringify(written)).toBe(
      JSON.stringify({
        resourceId: context.writeId,
        body: {
          id: context.writeId,
          number: NUMBER_TO_COME,
          invoiceId: INVOICE,
          amount: 60,
          currency: 'USD',
          method: 'card',
          receivedOn: '2026-03-10',
          reference: null,
          refunded: 0,
          voidedOn: null,
          voidReason: null,
          bounced: null,
          journalEntryId: rowId(context.writeId, 'journal_entries', 0),
          metadata: { a: 'a', long: 'b' },
          createdAt: '2026-03-10T12:00:00.000Z',
        },
      }),
    );
  });

  test('of the rest makes the invoice paid, so that the next one of the set is not payable', () => {
    const state = stateOf(100n);
    decide(state, payment({ amount: 40 }), decideContext());
    expect(state.invoices.get(INVOICE)).toMatchObject({ status: 'partially_paid', due_minor: 60n });
    decide(state, payment({ amount: 60 }), decideContext());
    expect(() => decide(state, payment({ amount: 1 }), decideContext())).toThrow(
      expect.objectContaining({ code: 'invoice_not_payable', message: 'The invoice is paid.' }),
    );
  });

  test('is taken exactly if what is due after those before it covers it; each entry balances', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 1n, max: 300n }),
        fc.array(fc.integer({ min: 1, max: 120 })),
        (dueMinor, amounts) => {
          const state = stateOf(dueMinor);
          let left = dueMinor;
          for (const amount of amounts) {
            const expected =
              left === 0n ? 'invoice_not_payable' : BigInt(amount) > left ? 'payment_exceeds_outstanding' : 'succeeded';
            if (expected === 'succeeded') left -= BigInt(amount);
            expect(outcomeOf(() => decide(state, payment({ amount }), decideContext()))).toBe(expected);
            expect(state.invoices.get(INVOICE)?.due_minor).toBe(left);
          }
          expect(state.payments.reduce((sum, { amount_minor }) => sum + amount_minor, 0n)).toBe(dueMinor - left);
          for (const { lines } of state.entries) {
            expect(lines.reduce((sum, { amount }) => sum + BigInt(amount), 0n)).toBe(0n);
          }
        },
      ),
    );
  });
});

/** Two invoices with this much due, and days on which that changes; only one of them can be paid. */
function stateOf(dueMinor: bigint, later: readonly { readonly day: string; readonly amount: bigint }[] = []) {
  return {
    invoices: new Map(
      Object.entries({ [INVOICE]: 'finalized', [DRAFT]: 'draft' }).map(([id, status]) => [
        id,
        { id, status, currency: 'USD', issue_date: '2026-01-15', due_minor: dueMinor, written_off_minor: 0n, later },
      ]),
    ),
    facts: {
      now: '2026-03-10T12:00:00.000Z',
      today: '2026-03-10',
      closedThrough: '2026-01-31',
      latest: '2027-03-11',
      accounts: new Map([
        ['1000', { id: 'bank-id', type: 'asset', isBank: true, isControl: false }],
        ['1100', { id: 'receivable-id', type: 'asset', isBank: false, isControl: true }],
      ]),
    },
    payments: [] as { readonly amount_minor: bigint; readonly bank_account_id: string }[],
    entries: [] as { readonly lines: readonly { readonly amount: string }[] }[],
  };
}

function payment(body: object): Input {
  const usual = { invoiceId: INVOICE, amount: 60, currency: 'USD', method: 'card', receivedOn: '2026-03-01' };
  return parseInput(createPayment, { params: {}, body: { ...usual, ...body } });
}
