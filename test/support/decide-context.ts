import { rowId } from '../../activities/identity.ts';
import type { WriteContext } from '../../activities/operation.ts';
import { Rejection } from '../../activities/write/rejection.ts';

/** What `decide` knows of its write, for tests without a database. The IDs of rows follow from `writeId`, as they always do. */
export function decideContext(overrides: Partial<WriteContext<string>> = {}): WriteContext<string> {
  const writeId = overrides.writeId ?? '5f0c6a52-3a53-5d0c-9d2e-5b8f3a1c7e10';
  return {
    companyId: '7b1d3c52-7a0e-4b6f-9a2f-0c5f5b6f2e01',
    userId: '2c4e9f3a-6d1b-4c8e-8a57-91d0f4b3c602',
    operation: 'testedOperation',
    allowPrivateWebhooks: false,
    rowId: (table, position) => rowId(writeId, table, position),
    reject: (...args) => new Rejection(...args),
    ...overrides,
    writeId,
  };
}
