import { expect, test } from 'vitest';
import { largestShare } from '../../activities/auditor/sample.ts';
import { confidenceText } from '../../deploy/operator/audit-verify/text.ts';

test.each([
  // Of tables of Clopper and Pearson, one-sided at 95 %.
  [{ sampled: 3_000, found: 0, of: 1_000_000 }, 0.000998],
  [{ sampled: 100, found: 0, of: 1_000_000 }, 0.0295],
  [{ sampled: 100, found: 1, of: 1_000_000 }, 0.0466],
  [{ sampled: 50, found: 2, of: 1_000_000 }, 0.1206],
  [{ sampled: 10, found: 10, of: 1_000_000 }, 1],
  [{ sampled: 8, found: 2, of: 8 }, 0.25],
  [{ sampled: 0, found: 0, of: 0 }, 0],
])('a spot check of %j says that at most %d of all writes have a finding', (sample, share) => {
  expect(largestShare(sample)).toBeCloseTo(share, 4);
});

test('a spot check is told in words, with its confidence', () => {
  expect(confidenceText({ sampled: 3_000, found: 0, of: 1_000_000 })).toBe(
    '0 of 3,000 writes, drawn at random from 1,000,000, have a finding. Confidence 95 %: at most 0.0998 % of all of them have ' +
      'one that can be seen in a write alone.',
  );
});
