import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { StorageError } from '../../activities/database.ts';
import { classify } from '../../activities/failures.ts';

function fromServer(sqlState: string, phase: StorageError['phase'] = 'statement', severity = 'ERROR'): StorageError {
  const cause = new pg.DatabaseError('on purpose', 1, 'error');
  return new StorageError(Object.assign(cause, { code: sqlState, severity }), phase);
}

const again = { kind: 'transient', mayHaveCommitted: false };
const unknown = { kind: 'transient', mayHaveCommitted: true };

describe('an error of the database', () => {
  test.each(['08006', '25006', '25P03', '25P04', '40001', '40P01', '53300', '55P03', '57014', '58030'])(
    '%s is transient, in a statement and at COMMIT',
    (sqlState) => {
      expect(classify(fromServer(sqlState))).toEqual(again);
      expect(classify(fromServer(sqlState, 'commit'))).toEqual(sqlState.startsWith('08') ? unknown : again);
    },
  );

  test.each(['57P01', '57P02', '40003'])('%s ends a statement for now, and leaves a COMMIT unknown', (sqlState) => {
    expect(classify(fromServer(sqlState))).toEqual(again);
    expect(classify(fromServer(sqlState, 'commit'))).toEqual(unknown);
  });

  test.each(['57P03', '57P05'])('%s is transient', (sqlState) => {
    expect(classify(fromServer(sqlState))).toEqual(again);
  });

  test('that no server sent is a lost connection, of which only a COMMIT leaves the outcome unknown', () => {
    const lost = new Error('read ECONNRESET');
    expect(classify(new StorageError(lost, 'statement'))).toEqual(again);
    expect(classify(new StorageError(lost, 'connect'))).toEqual(again);
    expect(classify(new StorageError(lost, 'commit'))).toEqual(unknown);
  });

  test.each(['XX000', '42P01', '22003'])('%s is a bug', (sqlState) => {
    expect(classify(fromServer(sqlState))).toEqual({ kind: 'bug' });
  });
});

describe('a server that breaks down at COMMIT may have committed, whatever it says last', () => {
  test.each([
    ['its disk is full', '53100'],
    ['it cannot write its log', '58030'],
    ['it finds an error of its own', 'XX000'],
  ])('%s', (_what, code) => {
    expect(classify(fromServer(code, 'commit', 'PANIC'))).toEqual(unknown);
  });

  test('but not when it refuses the COMMIT and goes on', () => {
    expect(classify(fromServer('53100', 'commit'))).toEqual(again);
  });
});
