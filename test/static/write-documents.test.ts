import { describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { listedToOperators } from '../../api/operators/bodies.ts';
import { documentOf } from '../../api/writes/document.ts';

const money = { amount: 2_500, currency: 'USD' };

describe('the document that people know a write by', () => {
  test('has what was asked for, else what it came to, and the number', () => {
    const of = (operation: string, request: object, response?: object) =>
      documentOf(operation, { request, response }, OPERATIONS);
    const payment = { ...money, number: 'RCT-000005' };
    expect(of('createPayment', money, payment)).toEqual(payment);
    expect(of('createPayment', money)).toEqual({ ...money, number: null });
    const invoice = { number: 'INV-000001', total: 7_000, currency: 'EUR' };
    expect(of('finalizeInvoice', {}, invoice)).toEqual({ number: 'INV-000001', amount: 7_000, currency: 'EUR' });
    expect(of('writeOffInvoice', { amount: 100 }, invoice)).toMatchObject({ amount: 100, currency: 'EUR' });
  });

  test('has no amount without a currency, or that is no whole number, and is none without either', () => {
    const of = (request: unknown, response?: unknown) => documentOf('createPayment', { request, response }, OPERATIONS);
    for (const none of [
      null,
      undefined,
      {},
      { amount: 5 },
      { currency: 'USD' },
      { amount: '5', currency: 'USD' },
      'x',
    ]) {
      expect(of(none)).toBeNull();
    }
    expect(of({ amount: 0.5, currency: 'USD' })).toBeNull();
    expect(of({ amount: 5 }, { number: 'RCT-000005' })).toEqual({ number: 'RCT-000005', amount: null, currency: null });
    expect(of({}, { number: '' })).toBeNull();
  });

  test('is told of nothing that may tell what somebody is paid, and of no operation that is not known', () => {
    const told = OPERATIONS.filter(({ name }) => documentOf(name, { request: money }, OPERATIONS) !== null);
    const untold = OPERATIONS.filter((operation) => !told.includes(operation)).map(({ name }) => name);
    expect(untold.toSorted()).toEqual([
      ...['approvePayRun', 'createEmployee', 'createPayRun', 'executePayroll', 'updateEmployee', 'voidPayRun'],
    ]);
    expect(documentOf('somethingElse', { request: money }, OPERATIONS)).toBeNull();
    expect(documentOf(null, { request: money }, OPERATIONS)).toBeNull();
  });

  test('is shown to operators of nothing that may be pay: what the bank has booked, and what was posted by hand', () => {
    const document = { ...money, number: null };
    const shown = (operation: string | null) => listedToOperators([{ operation, document }], OPERATIONS)[0]?.document;
    expect(shown('createPayment')).toEqual(document);
    for (const hidden of [
      'reconcileLedger',
      'importBankTransactions',
      'createJournalEntry',
      'executePayroll',
      'other',
      null,
    ])
      expect(shown(hidden)).toBeNull();
  });
});
