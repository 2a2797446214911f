import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { exactJson } from '../../activities/batches/exact-json.ts';

const special = fc.constantFrom(-0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e21, 5e-324);
const { parsed } = fc.letrec<{ parsed: unknown }>((tie) => ({
  parsed: fc.oneof(
    { depthSize: 'small' },
    fc.jsonValue(),
    special,
    fc.array(tie('parsed'), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie('parsed'), { maxKeys: 4, noNullPrototype: true }),
  ),
}));

test('what was parsed from JSON is parsed to the same again', () => {
  const isKept = (value: unknown) => isDeepStrictEqual(JSON.parse(exactJson(value)), value);
  expect(() => fc.assert(fc.property(parsed, isKept), { numRuns: 500 })).not.toThrow();
});

test.each([
  ['{"amount":1e400}', { amount: Number.POSITIVE_INFINITY }],
  ['{"amount":-1e400}', { amount: Number.NEGATIVE_INFINITY }],
  ['[-0,0]', [-0, 0]],
  ['{"a":[1e400,{"b":-0,"1e999":"1e999"}]}', { a: [Number.POSITIVE_INFINITY, { b: -0, '1e999': '1e999' }] }],
])('%s keeps its numbers', (text, value) => {
  expect(JSON.parse(exactJson(JSON.parse(text)))).toStrictEqual(value);
});

test('a member without a value is left out, as by JSON.stringify', () => {
  expect(exactJson({ key: undefined, body: { amount: -0 } })).toBe('{"body":{"amount":-0}}');
});
