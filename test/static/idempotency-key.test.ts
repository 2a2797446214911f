import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isKey, workflowIdOf } from '../../activities/identity.ts';
import { formatKey, readIdempotencyKey } from '../../api/writes/idempotency-key.ts';
import * as client from '../../deploy/client/src/keys.ts';

const COMPANY = '4d0c2e3a-7b1f-4e58-9c66-1a5b8f0d2e01';
const keys = fc.stringMatching(/^[\x20-\x7e]{1,255}$/).filter(isKey);
/** Also what is not a key: of any characters, too long, or nearly one of the exceptions. */
const texts = fc.oneof(
  keys,
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: fc.integer({ min: 0x1f, max: 0x7f }).map((code) => String.fromCharCode(code)), maxLength: 300 }),
  fc.stringMatching(/^[ .]{0,4}$/),
  fc.stringMatching(/^[\x20-\x7e]{1,3}\n?$/),
);
const read = (value: string) => readIdempotencyKey(['Host', 'a', 'Idempotency-Key', value]);

describe('a key', () => {
  test('that is written into a header is read from it as the same key', () => {
    fc.assert(
      fc.property(keys, (key) => {
        expect(read(formatKey(key))).toBe(key);
      }),
    );
  });

  test('is to the client package what it is to the API', () => {
    fc.assert(
      fc.property(texts, (text) => {
        expect(client.isKey(text)).toBe(isKey(text));
        expect(client.formatKey(text)).toBe(formatKey(text));
      }),
      { numRuns: 2_000 },
    );
  });

  test('that the client package writes is read as the same key', () => {
    fc.assert(
      fc.property(keys, (key) => {
        expect(read(client.formatKey(key))).toBe(key);
      }),
    );
    const made = client.newKey();
    expect(read(client.formatKey(made))).toBe(made);
  });

  test('is bare where that is allowed', () => {
    expect(formatKey('a:b/c~%\\')).toBe('a:b/c~%\\');
    expect(formatKey('a b')).toBe('"a b"');
    expect(formatKey('a,b')).toBe('"a,b"');
    expect(formatKey('a"\\')).toBe('"a\\"\\\\"');
  });

  test('is read from the header’s own line, whatever the others hold', () => {
    expect(readIdempotencyKey(['idempotency-key', 'x', 'X-Other', 'Idempotency-Key'])).toBe('x');
    expect(() => readIdempotencyKey(['X-Other', 'idempotency-key'])).toThrow(/needs an Idempotency-Key/);
    expect(() => readIdempotencyKey([])).toThrow(/needs an Idempotency-Key/);
  });

  test.each(['a', ' a ', '"', '...', 'a/b', '~', 'x'.repeat(255)])('may be %j', (key) => {
    expect(isKey(key)).toBe(true);
  });

  test.each(['', ' ', '   ', '.', '..', 'a\n', '\na', 'é', 'x'.repeat(256)])('may not be %j', (key) => {
    expect(isKey(key)).toBe(false);
  });

  const refused = (code: string, message: RegExp) =>
    expect.objectContaining({ code, message: expect.stringMatching(message) });

  test.each([
    '',
    'a b',
    'a,b',
    'a"b',
    '"',
    '"a',
    'a"',
    '"a" ',
    '"a"b',
    '""',
    '" "',
    '"\\x"',
    '"a"b"',
    '".."',
    '..',
    'é',
  ])('is not read from %j', (value) => {
    expect(() => read(value)).toThrow(refused('idempotency_key_invalid', /1–255 printable ASCII/));
  });

  test('is read from one line; none and two are told apart', () => {
    const line = ['Idempotency-Key', 'k'];
    expect(() => readIdempotencyKey([...line, ...line])).toThrow(refused('idempotency_key_invalid', /more than one/));
    expect(() => readIdempotencyKey(['Host', 'a'])).toThrow(refused('idempotency_key_missing', /of your own/));
  });

  test('names a workflow of its own, within Temporal’s limit', () => {
    fc.assert(
      fc.property(keys, keys, (one, other) => {
        fc.pre(one !== other);
        const id = workflowIdOf(COMPANY, one);
        expect(id).not.toBe(workflowIdOf(COMPANY, other));
        expect(Buffer.byteLength(id)).toBeLessThanOrEqual(255);
      }),
    );
    expect(workflowIdOf(COMPANY, 'order-1:payment_2.a')).toBe(`${COMPANY}:order-1:payment_2.a`);
    expect(workflowIdOf(COMPANY, 'k'.repeat(200))).toBe(`${COMPANY}:${'k'.repeat(200)}`);
    expect(workflowIdOf(COMPANY, 'k'.repeat(201))).toMatch(/:~[A-Za-z0-9_-]{43}$/);
    expect(workflowIdOf(COMPANY, '~abc')).toMatch(/:~[A-Za-z0-9_-]{43}$/);
  });
});
