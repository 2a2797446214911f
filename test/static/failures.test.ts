import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { StorageError } from '../../activities/database.ts';
import { classify } from '../../activities/failures.ts';

const fromServer = (severity: string, code: string) =>
  Object.assign(new pg.DatabaseError('the words of the server', 0, 'error'), { severity, code });

describe('a server that breaks down at COMMIT may have committed, whatever it says last', () => {
  test.each([
    ['its disk is full', '53100'],
    ['it cannot write its log', '58030'],
    ['it finds an error of its own', 'XX000'],
  ])('%s', (_what, code) => {
    const panic = fromServer('PANIC', code);
    expect(classify(new StorageError(panic, 'commit'))).toEqual({ kind: 'transient', mayHaveCommitted: true });
  });

  test('but not when it refuses the COMMIT and goes on', () => {
    const refused = fromServer('ERROR', '53100');
    expect(classify(new StorageError(refused, 'commit'))).toEqual({ kind: 'transient', mayHaveCommitted: false });
  });
});
