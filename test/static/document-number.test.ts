import { describe, expect, test } from 'vitest';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { documentNumber, NUMBER_TO_COME } from '../../activities/resources/document-number.ts';
import { successOf } from '../../activities/write/finish.ts';
import type { WriteArguments } from '../../workflows/messages.ts';
import { decideContext } from '../support/decide-context.ts';

test.each([
  ['invoice', 1, 'INV-000001'],
  ['payment', 999_999, 'RCT-999999'],
  ['credit_note', 1_000_000, 'CRN-1000000'],
  ['refund', 2_147_483_647, 'RFD-2147483647'],
] as const)('%s %i is %s', (kind, number, text) => {
  expect(documentNumber(kind, number)).toBe(text);
});

describe('a body whose number is to come', () => {
  const context = decideContext();
  const args = { request: { id: 'request' } } as WriteArguments;
  const end = (body: Record<string, unknown>) => successOf(createPayment, args, context, { resourceId: 'id', body });

  test('is told in two parts, with the number between them, whatever a client has written', () => {
    const body = { id: 'id', number: NUMBER_TO_COME, reference: '"number":""', metadata: { number: '', ä: '😀' } };
    const { body: before, toCome } = end(body);
    expect(toCome?.kind).toBe('payment');
    expect(before).toBe('{"id":"id","number":"');
    expect(`${before}RCT-000007${toCome?.rest}`).toBe(JSON.stringify({ ...body, number: 'RCT-000007' }));
  });

  test('is whole where the number is known, or where there is none', () => {
    for (const body of [
      { id: 'id', number: 'INV-000001' },
      { id: 'id', number: null },
      { id: 'id', metadata: { number: '' } },
    ]) {
      expect(end(body)).toMatchObject({ body: JSON.stringify(body), toCome: undefined });
    }
  });

  test('is a bug of an operation that takes no number', () => {
    const { takesNumber: _, ...others } = createPayment;
    const written = { resourceId: 'id', body: { id: 'id', number: NUMBER_TO_COME } };
    expect(() => successOf(others, args, context, written)).toThrow('Bug! createPayment');
  });
});
