import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ApiProblem } from '../../api/http/problems.ts';
import { type CursorKey, createCursors } from '../../api/reads/cursor.ts';
import { isOfType, type PlaceType } from '../../api/reads/place-types.ts';

const LIST = { path: '/api/payments', companyId: 'a', filters: { from: '2026-01-01', currency: undefined } };
const PLACE = ['2026-03-10T00:00:00.000001Z', '8d4b02bb-a412-5bd1-9496-e8da96d8a88c'];
const TYPES: readonly PlaceType[] = ['timestamptz', 'uuid'];
const KEY: CursorKey = { key: Buffer.alloc(32, 'k'), signedFromMs: 0, unsignedUntilMs: 0 };
/** While processes of the release before may still serve pages. */
const ROLLING = { ...KEY, signedFromMs: Number.MAX_VALUE, unsignedUntilMs: Number.MAX_VALUE };
/** Afterwards, while consumers may still keep cursors of before. */
const AFTERWARDS = { ...ROLLING, signedFromMs: 0 };

const { encode, decode } = createCursors(KEY);

describe('a cursor', () => {
  test('holds its place, whatever that is', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 4 }), (place) => {
        const types = place.map(() => 'text' as const);
        fc.pre(place.every((part) => isOfType('text', part)));
        expect(decode(encode(place, LIST), LIST, types)).toEqual(place);
      }),
    );
  });

  test('can stand in a URL as it is', () => {
    expect(encode(PLACE, LIST)).toMatch(/^[A-Za-z0-9_-]+$/);
  });

  describe('of the releases before cursors were signed', () => {
    const list = { ...LIST, filters: { b: '2', a: '1' } };
    const unsigned =
      'WyJ0U2tqQnNmX1MzNUMxMDhFIiwiMjAyNi0wMy0xMFQwMDowMDowMC4wMDAwMDFaIiwiOGQ0YjAyYmItYTQxMi01YmQxLTk0OTYtZThkYTk2ZDhhODhjIl0';

    test('is what those releases are given while they may run, and is read', () => {
      const rolling = createCursors(ROLLING);
      expect(rolling.encode(PLACE, list)).toBe(unsigned);
      expect(rolling.decode(unsigned, list, TYPES)).toEqual(PLACE);
      expect(rolling.decode(encode(PLACE, list), list, TYPES)).toEqual(PLACE);
    });

    test('is read for a while afterwards, with each part of its type, and is no longer made', () => {
      const afterwards = createCursors(AFTERWARDS);
      expect(afterwards.decode(unsigned, list, TYPES)).toEqual(PLACE);
      expect(afterwards.encode(PLACE, list)).toBe(encode(PLACE, list));
      const forged = createCursors(ROLLING).encode(['yesterday', PLACE[1] ?? ''], list);
      expect(() => afterwards.decode(forged, list, TYPES)).toThrow(ApiProblem);
    });

    test('is refused then', () => {
      expect(() => decode(unsigned, list, TYPES)).toThrow(ApiProblem);
    });
  });

  test('of another key is refused', () => {
    const other = createCursors({ ...KEY, key: Buffer.alloc(32, 'o') });
    expect(() => decode(other.encode(PLACE, LIST), LIST, TYPES)).toThrow(ApiProblem);
  });

  const wrong: readonly (readonly [PlaceType, readonly string[]])[] = [
    [
      'timestamptz',
      ['', 'now', '2026-01-01', '2026-02-30T00:00:00.000000Z', '2026-01-01T24:00:00.000000Z', 'infinity'],
    ],
    ['timestamptz', ['0000-01-01T00:00:00.000000Z', '2026-01-01T00:00:60.000000Z', '2026-01-01T00:00:00.000000+01']],
    ['date', ['', 'today', '2026-02-29', '2026-13-01', '-2026-01-01', '2026-01-01 ', '0000-01-01']],
    ['uuid', ['', PLACE[1]?.toUpperCase() ?? '', `{${PLACE[1]}}`, `${PLACE[1]}0`]],
    ['integer', ['', '2147483648', '-2147483648', '1.5', '1e3', '01', '-0', ' 1', '0x1']],
    ['bigint', ['', '9223372036854775808', '-9223372036854775808', 'NaN', '99999999999999999999']],
    ['text', ['a\0', '\ud800']],
  ];
  test.each(wrong)('whose %s PostgreSQL could not read is refused, also with a signature', (type, texts) => {
    for (const text of texts) {
      expect([text, isOfType(type, text)]).toEqual([text, false]);
      expect(() => decode(encode([text], LIST), LIST, [type])).toThrow(ApiProblem);
    }
  });

  const right: readonly (readonly [PlaceType, readonly string[]])[] = [
    ['timestamptz', ['2024-02-29T23:59:59.999999Z', '0001-01-01T00:00:00.000000Z']],
    ['date', ['2024-02-29', '1900-01-01', '2999-12-31']],
    ['uuid', [PLACE[1] ?? '']],
    ['integer', ['0', '-1', '2147483647', '-2147483647']],
    ['bigint', ['9223372036854775807', '-9223372036854775807', '10']],
    ['text', ['', 'a', '😀', '"']],
  ];
  test.each(right)('holds each %s that a list has', (type, texts) => {
    for (const text of texts) expect(decode(encode([text], LIST), LIST, [type])).toEqual([text]);
  });

  test('with more or fewer parts than its list has is refused', () => {
    for (const place of [[], PLACE.slice(0, 1), [...PLACE, '1']]) {
      expect(() => decode(encode(place, LIST), LIST, TYPES)).toThrow(ApiProblem);
    }
  });

  test('does not know the order of the filters, nor those that are not given', () => {
    const cursor = encode(PLACE, { ...LIST, filters: { b: '2', a: '1', c: '3' } });
    expect(encode(PLACE, { ...LIST, filters: { c: '3', a: '1', d: undefined, b: '2' } })).toBe(cursor);
  });

  test.each([
    ['path', { ...LIST, path: '/api/refunds' }],
    ['company', { ...LIST, companyId: 'b' }],
    ['filters', { ...LIST, filters: { from: '2026-01-02' } }],
    ['filters, of which it has one less', { ...LIST, filters: {} }],
  ])('is refused with another %s', (_what, other) => {
    expect(() => decode(encode(PLACE, LIST), other, TYPES)).toThrow(ApiProblem);
  });

  test('is refused with any character changed, left out or added', () => {
    const cursor = encode(PLACE, LIST);
    for (let at = 0; at < cursor.length; at += 1) {
      const other = cursor[at] === 'A' ? 'B' : 'A';
      for (const between of [other, '', `${cursor[at]}${other}`]) {
        expect(() => decode(cursor.slice(0, at) + between + cursor.slice(at + 1), LIST, TYPES)).toThrow(ApiProblem);
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
    expect(() => decode(cursor, LIST, TYPES)).toThrow(ApiProblem);
  });

  test('that is refused is told as a fault of the query', () => {
    const message = 'is not a cursor of this list with these filters; start again without it';
    let thrown: unknown;
    try {
      decode('x', LIST, TYPES);
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
