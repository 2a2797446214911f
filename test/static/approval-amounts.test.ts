import { describe, expect, test } from 'vitest';
import { amountAt, amountMoved, amountOfEntry } from '../../activities/approvals/amounts.ts';
import { type ApprovalPolicy, demandsOf, isLowered } from '../../activities/approvals/policies.ts';
import type { DocumentAmount, Written } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';

type Left = Pick<Written, 'body' | 'moved'>;

describe('the amount of a document', () => {
  test('is where the operation says, whichever its sign, exact beyond 2^53', () => {
    expect(amountAt('total')({ body: { total: -1200, currency: 'USD' } })).toEqual({ amount: 1200n, currency: 'USD' });
    expect(amountAt('totals', 'gross')({ body: { totals: { gross: '9007199254740993' }, currency: 'EUR' } })).toEqual({
      amount: 9007199254740993n,
      currency: 'EUR',
    });
  });

  test('is never guessed', () => {
    const from = (body: Left['body']) => () => amountAt('total')({ body });
    expect(from({ currency: 'USD' })).toThrow('Bug! The document has no such amount');
    expect(from({ total: null, currency: 'USD' })).toThrow('Bug! The document has no such amount');
    expect(from({ total: 1 })).toThrow('Bug! The document has no currency');
  });

  test('is what an entry debits', () => {
    const lines = [700, 500, -1200].map((amount) => ({ amount, currency: 'USD' }));
    expect(amountOfEntry({ body: { lines } })).toEqual({ amount: 1200n, currency: 'USD' });
  });

  test('is what the write says that it moves, whichever its sign, and not the body’s', () => {
    const body = { value: 5, total: 5, currency: 'EUR' };
    expect(amountMoved({ body, moved: { amount: -1200n, currency: 'USD' } })).toEqual({
      amount: 1200n,
      currency: 'USD',
    });
    expect(() => amountMoved({ body })).toThrow('Bug! The write does not say what it moves');
  });
});

describe('a policy with an amount', () => {
  const policy: ApprovalPolicy = {
    ...{ operation: 'writeOffInvoice', amountFrom: 1200, currency: 'USD', approverRoles: ['owner'] },
    ...{ count: 2, expiresAfterHours: 24 },
  };
  const asked = (moved: DocumentAmount) =>
    demandsOf([policy], { name: 'writeOffInvoice', approvalAmount: amountMoved }, { body: {}, moved });

  test('matches from that amount on, in its currency', () => {
    expect(asked({ amount: 1200n, currency: 'USD' })).toEqual({
      demands: [{ roles: ['owner'], count: 2 }],
      expiresAfterHours: 24,
    });
    expect(asked({ amount: 1199n, currency: 'USD' })).toBeUndefined();
    expect(asked({ amount: 1200n, currency: 'EUR' })).toBeUndefined();
  });

  test('counts beside each other that matches, and the shortest time counts', () => {
    const other: ApprovalPolicy = {
      ...policy,
      amountFrom: null,
      approverRoles: ['admin'],
      count: 1,
      expiresAfterHours: 8,
    };
    const moved = { amount: 1200n, currency: 'USD' };
    const write = { name: 'writeOffInvoice', approvalAmount: amountMoved };
    expect(
      demandsOf([policy, other, { ...other, operation: 'createPayment', expiresAfterHours: 1 }], write, {
        body: {},
        moved,
      }),
    ).toEqual({
      demands: [
        { roles: ['owner'], count: 2 },
        { roles: ['admin'], count: 1 },
      ],
      expiresAfterHours: 8,
    });
  });

  test.each<[string, Partial<ApprovalPolicy>]>([
    ['asks from a larger amount on', { amountFrom: 1201 }],
    ['asks in another currency', { currency: 'EUR' }],
    ['lets others approve as well', { approverRoles: ['owner', 'admin'] }],
    ['asks for fewer people', { count: 1 }],
    ['asks about another operation', { operation: 'createPayment' }],
  ])('is lowered where it %s', (_how, change) => {
    expect(isLowered([policy], [{ ...policy, ...change }])).toBe(true);
    // Not where another policy asks for as much.
    expect(isLowered([policy], [{ ...policy, ...change }, policy])).toBe(false);
  });

  test.each<[string, Partial<ApprovalPolicy>]>([
    ['asks from a smaller amount on', { amountFrom: 1199 }],
    ['asks whatever the amount and the currency', { amountFrom: null, currency: null }],
    ['asks for more people', { count: 3 }],
    ['gives them more time', { expiresAfterHours: 48 }],
  ])('is not lowered where it %s', (_how, change) => {
    expect(isLowered([policy], [{ ...policy, ...change }])).toBe(false);
  });
});

test('each operation that posts can be asked about by its amount, but those of whole years and settings', () => {
  const without = OPERATIONS.filter(
    ({ effects, approvalAmount }) => effects.posts !== 'never' && approvalAmount === undefined,
  );
  expect(without.map(({ name }) => name)).toEqual(['closeFiscalYear', 'reopenFiscalYear']);
});
