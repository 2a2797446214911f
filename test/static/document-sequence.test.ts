import { expect, test } from 'vitest';
import { outOfSequence } from '../../deploy/simulate/document-numbers.ts';

const answers = (...numbers: readonly string[]) => numbers.map((number) => JSON.stringify({ number }));

test('numbers run from 1 without a gap, in whatever order they are told', () => {
  expect(outOfSequence(answers('RCT-000002', 'RCT-000001', 'RCT-000003'))).toEqual([]);
  expect(outOfSequence([])).toEqual([]);
});

test.each([
  [['CRN-000001', 'CRN-000003'], ['CRN-000003']],
  [['CRN-000001', 'CRN-000001'], ['CRN-000001']],
  [['CRN-000000', 'CRN-000001'], ['CRN-000000']],
  [['CRN-', 'CRN-000001'], ['CRN-']],
])('of %j, %j is out of sequence', (numbers, wrong) => {
  expect(outOfSequence(answers(...numbers))).toEqual(answers(...wrong));
});
