import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fingerprint } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { differences, isSameRequest } from '../../activities/write/compare-requests.ts';

describe('the fingerprint', () => {
  const body = { amount: 1, currency: 'USD', lines: [{ a: '1' }, { b: '2' }] };
  const of = (content: Record<string, unknown>, params = {}, operation = 'createPayment') =>
    fingerprint(operation, { params, body: content });

  test('does not know the order of members, and knows everything else', () => {
    expect(of({ lines: body.lines, currency: 'USD', amount: 1 })).toBe(of(body));
    const others = [
      of({ ...body, amount: 2 }),
      of({ ...body, lines: body.lines.toReversed() }),
      of({ ...body, amount: '1' }),
      of({ ...body, extra: null }),
      of(body, { id: 'x' }),
      of(body, {}, 'createRefund'),
    ];
    expect(new Set([of(body), ...others]).size).toBe(others.length + 1);
  });

  test('is that of the canonical JSON of RFC 8785', () => {
    // printf '{"body":{"a":1,"b":"\xe2\x82\xac"},"operation":"x","params":{}}' | sha256sum
    expect(fingerprint('x', { params: {}, body: { b: '\u20ac', a: 1.0 } })).toBe(
      '8d4b02bba4120dbd19496e8da96d8a88c7fdf3f80ed9fbdd9fcf1deee5320121',
    );
  });
});

describe('the differences of two requests', () => {
  const request = (body: Record<string, unknown>, operation = 'createPayment') => ({ operation, params: {}, body });
  const json = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }), { noNullPrototype: true });

  test('are none between a request and itself, and some between any two that are not the same', () => {
    fc.assert(
      fc.property(json, json, (one, other) => {
        const mine = (body: typeof one) => ({ ...request(body), fingerprint: '' });
        expect(differences(request(one), mine(structuredClone(one)))).toEqual([]);
        const same = fingerprint('x', { params: {}, body: one }) === fingerprint('x', { params: {}, body: other });
        expect(differences(request(one), mine(other)).length === 0).toBe(same);
      }),
    );
  });

  test('are a hundred at most', () => {
    const many = (value: number) => Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`k${index}`, value]));
    expect(differences(request(many(1)), { ...request(many(2)), fingerprint: '' })).toHaveLength(100);
  });

  test('a row of an operation that this release does not have is another request', () => {
    const row = {
      operation: 'retired',
      fingerprint: 'a'.repeat(64),
      request: { params: {}, body: {} },
      schema_version: 1,
    };
    expect(isSameRequest(row, { ...request({}, 'retired'), fingerprint: 'b'.repeat(64) }, OPERATIONS)).toBe(false);
  });
});
