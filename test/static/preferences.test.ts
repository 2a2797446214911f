import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readPreferences } from '../../api/http/preferences.ts';

const DEFAULT = { waitMs: 10_000, strict: false, applied: undefined };

describe('Prefer', () => {
  const cases: Readonly<Record<string, object>> = {
    'wait=0': { waitMs: 0, strict: true, applied: 'wait=0' },
    'wait=5': { waitMs: 5_000, strict: false, applied: 'wait=5' },
    'Wait = "7" ; x=y': { waitMs: 7_000, strict: false, applied: 'wait=7' },
    'wait=61': { waitMs: 60_000, strict: false, applied: 'wait=60' },
    'respond-async': { waitMs: 0, strict: false, applied: 'respond-async' },
    'respond-async, wait=3': { waitMs: 3_000, strict: false, applied: 'respond-async, wait=3' },
    'wait=0, respond-async': { waitMs: 0, strict: false, applied: 'respond-async, wait=0' },
    'wait=2, wait=9': { waitMs: 2_000, strict: false, applied: 'wait=2' },
    'respond-async=""': { waitMs: 0, strict: false, applied: 'respond-async' },
    'wait="8"': { waitMs: 8_000, strict: false, applied: 'wait=8' },
    'handling=lenient, , wait=4': { waitMs: 4_000, strict: false, applied: 'wait=4' },
  };
  test.each(Object.entries(cases))('%s is used, and said to be', (header, expected) => {
    expect(readPreferences(header)).toEqual(expected);
  });

  test.each([
    '',
    'wait',
    'wait=',
    'wait=-1',
    'wait=1.5',
    'wait=1s',
    'wait=1e3',
    'wait="',
    'wait="55',
    'wait=55"',
    'wait=x55x',
    'wait=5=6',
    'respond-async="',
    'respond-async=1',
    'waits=3',
    '=0',
    ';;;',
  ])('%j cannot be used, and is ignored', (header) => {
    expect(readPreferences(header)).toEqual(DEFAULT);
  });

  test('several lines are one list', () => {
    expect(readPreferences(['respond-async', 'wait=3'])).toMatchObject({
      waitMs: 3_000,
      applied: 'respond-async, wait=3',
    });
    expect(readPreferences(undefined)).toEqual(DEFAULT);
  });

  test('is read in no time, however it is filled', () => {
    const startedAt = performance.now();
    for (const filling of [' ', '\t', '=', ';', ',', '"', 'wait=', ' =']) {
      readPreferences(`wait=${filling.repeat(16_000 / filling.length)}""x`);
    }
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii', maxLength: 500 }), (header) => void readPreferences(header)),
    );
    // Milliseconds here; a pattern that backtracks takes minutes for a single one of these.
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });
});
