import fc from 'fast-check';
import { v5 } from 'uuid';
import { expect, test } from 'vitest';
import { uuidV5 } from '../../activities/uuid-v5.ts';

test('a name has the UUID that RFC 9562 gives it, in whatever namespace', () => {
  // The example of RFC 9562, appendix A.4.
  expect(uuidV5('www.example.com', '6ba7b810-9dad-11d1-80b4-00c04fd430c8')).toBe(
    '2ed6657d-e927-568b-95e1-2665a8aea6a2',
  );
  const name = fc.string({ unit: 'grapheme', maxLength: 300 });
  fc.assert(fc.property(name, fc.uuid(), (text, namespace) => uuidV5(text, namespace) === v5(text, namespace)));
});

test('what is no UUID is no namespace', () => {
  for (const namespace of ['', 'b3977cab', 'b3977cab-3beb-4177-b624-c5471d46253g']) {
    expect(() => uuidV5('name', namespace)).toThrow('no UUID');
  }
});
