import { createHash, randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { keyOfRow, rowOfKey } from '../../activities/batches/row-key.ts';

const FILE = createHash('sha256').update('a file').digest('hex');
const OTHER = createHash('sha256').update('another file').digest('hex');
const ROWS = 10_100;

describe('the row of a key that follows from the file', () => {
  test('is found, whichever it is', () => {
    for (const row of [1, 2, 9, 10, 99, 100, 999, 1_000, 10_000, ROWS]) {
      expect(rowOfKey(FILE, ROWS, keyOfRow(FILE, row))).toBe(row);
    }
  });

  test('is not found for a key of another file, of a row beyond the last, in other letters, or of any other kind', () => {
    const last = keyOfRow(FILE, ROWS);
    for (const key of [
      keyOfRow(OTHER, 1),
      keyOfRow(FILE, ROWS + 1),
      last.toUpperCase(),
      randomUUID(),
      'order-4711',
      '',
    ]) {
      expect(rowOfKey(FILE, ROWS, key)).toBeUndefined();
    }
    expect(rowOfKey(FILE, 0, last)).toBeUndefined();
  });
});
