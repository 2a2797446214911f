import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ApiProblem } from '../../api/http/problems.ts';
import { decodeCursor, encodeCursor } from '../../api/reads/cursor.ts';

const LIST = { path: '/api/payments', companyId: 'a', filters: { from: '2026-01-01', currency: undefined } };
const PLACE = ['2026-03-10T00:00:00.000001Z', '8d4b02bb-a412-5bd1-9496-e8da96d8a88c'];

describe('a cursor', () => {
  test('holds its place, whatever that is', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 4 }), (place) => {
        expect(decodeCursor(encodeCursor(place, LIST), LIST)).toEqual(place);
      }),
    );
  });

  test('can stand in a URL as it is', () => {
    expect(encodeCursor(PLACE, LIST)).toMatch(/^[A-Za-z0-9_-]+$/);
  });

  test('is read by the next release, and by the one before: its form does not change', () => {
    expect(encodeCursor(PLACE, { ...LIST, filters: { b: '2', a: '1' } })).toBe(
      'WyJ0U2tqQnNmX1MzNUMxMDhFIiwiMjAyNi0wMy0xMFQwMDowMDowMC4wMDAwMDFaIiwiOGQ0YjAyYmItYTQxMi01YmQxLTk0OTYtZThkYTk2ZDhhODhjIl0',
    );
  });

  test('does not know the order of the filters, nor those that are not given', () => {
    const cursor = encodeCursor(PLACE, { ...LIST, filters: { b: '2', a: '1', c: '3' } });
    expect(encodeCursor(PLACE, { ...LIST, filters: { c: '3', a: '1', d: undefined, b: '2' } })).toBe(cursor);
  });

  test.each([
    ['path', { ...LIST, path: '/api/refunds' }],
    ['company', { ...LIST, companyId: 'b' }],
    ['filters', { ...LIST, filters: { from: '2026-01-02' } }],
    ['filters, of which it has one less', { ...LIST, filters: {} }],
  ])('is refused with another %s', (_what, other) => {
    expect(() => decodeCursor(encodeCursor(PLACE, LIST), other)).toThrow(ApiProblem);
  });

  test('is refused with any character changed, left out or added', () => {
    const cursor = encodeCursor(PLACE, LIST);
    for (let at = 0; at < cursor.length; at += 1) {
      const other = cursor[at] === 'A' ? 'B' : 'A';
      for (const between of [other, '', `${cursor[at]}${other}`]) {
        expect(() => decodeCursor(cursor.slice(0, at) + between + cursor.slice(at + 1), LIST)).toThrow(ApiProblem);
      }
    }
  });

  test.each([
    ['', 'nothing'],
    ['!', 'no base64'],
    [encoded('{'), 'no JSON'],
    [encoded('null'), 'null'],
    [encoded('{"0":"a"}'), 'an object'],
    [encoded('"text"'), 'a text'],
    [encoded('[1,"a"]'), 'a number'],
    [encoded('[]'), 'an empty list'],
  ])('%j is refused: %2$s', (cursor) => {
    expect(() => decodeCursor(cursor, LIST)).toThrow(ApiProblem);
  });

  test('that is refused is told as a fault of the query', () => {
    const message = 'is not a cursor of this list with these filters; start again without it';
    let thrown: unknown;
    try {
      decodeCursor('x', LIST);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({
      code: 'validation_failed',
      details: { detail: `The cursor ${message}.`, errors: [{ in: 'query', pointer: '/cursor', message }] },
    });
  });
});

function encoded(text: string): string {
  return Buffer.from(text).toString('base64url');
}
