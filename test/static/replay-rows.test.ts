import { describe, expect, test } from 'vitest';
import { keyOfRow } from '../../activities/batches/row-key.ts';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { finalizeInvoice } from '../../activities/operations/finalize-invoice.ts';
import { identify, toRequest } from '../../deploy/replay/request.ts';

describe('the request of a row', () => {
  const input = { key: undefined, operation: undefined, params: {}, body: { amount: 1 } };
  const request = (over: object, operation: Operation = createPayment) =>
    toRequest({ operations: OPERATIONS, operation }, { ...input, ...over }, 'a'.repeat(64), 7);

  test('has its own key, or for ever the same one of the file and the row', () => {
    expect(request({ key: 'own' })).toMatchObject({
      key: 'own',
      keyFrom: 'row',
      path: '/api/payments',
      method: 'POST',
    });
    // A literal: whoever changes how keys are made writes every file once more.
    expect(request({})).toMatchObject({ key: '6fe6211a-bedc-5835-bfd1-dfe1fb3e0944', keyFrom: 'file' });
    expect(keyOfRow('a'.repeat(64), 8)).not.toBe(keyOfRow('a'.repeat(64), 7));
    expect(keyOfRow('b'.repeat(64), 7)).not.toBe(keyOfRow('a'.repeat(64), 7));
  });

  test('is malformed with a key that is none, or without its place in the path', () => {
    for (const key of [7, '', ' ', 'é', 'k'.repeat(256), {}]) expect(() => request({ key })).toThrow('not a valid key');
    for (const invoiceId of [undefined, '', '..', 7]) {
      expect(() => request({ params: { invoiceId } }, finalizeInvoice)).toThrow('requires a string for invoiceId');
    }
    expect(() => request({ params: { invoiceId: 'x' } })).toThrow('has no parameter invoiceId');
    expect(request({ params: { invoiceId: 'a/b' } }, finalizeInvoice).path).toBe('/api/invoices/a%2Fb/finalize');
  });

  test('has its numbers as they are in the file', () => {
    expect(request({ body: { amount: Number.POSITIVE_INFINITY, tax: -0 } }).body).toBe('{"amount":1e999,"tax":-0}');
  });

  test('is another one for another company, key or body', () => {
    const ids = [
      identify('https://a.test 1', request({})),
      identify('https://a.test 2', request({})),
      identify('https://a.test 1', request({ key: 'own' })),
      identify('https://a.test 1', request({ body: { amount: 2 } })),
    ];
    expect(new Set(ids).size).toBe(4);
    expect(identify('https://a.test 1', request({}))).toBe(ids[0]);
  });
});
