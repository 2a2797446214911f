import { rowId } from '../../activities/identity.ts';
import type { WriteContext } from '../../activities/operation.ts';
import { Rejection } from '../../activities/write/rejection.ts';

/** What `decide` knows of its write, for tests without a database. Each write of a set has its own `writeId`. */
export function decideContext(overrides: Partial<WriteContext<string>> = {}): WriteContext<string> {
  const { writeId = 'c1a52a7e-6d2b-5c39-9d0a-3f1c7a9b0001' } = overrides;
  return {
    companyId: '7b1d3c52-7a0e-4b6f-9a2f-0c5f5b6f2e01',
    userId: '2f6a0d8e-51c7-4a0b-8a4e-6b9d3c1f0002',
    operation: 'ofATest',
    writeId,
    requestId: 'a-request',
    approvedBy: null,
    allowPrivateWebhooks: false,
    operations: [],
    rowId: (table, position) => rowId(writeId, table, position),
    reject: (...args) => new Rejection(...args),
    ...overrides,
  };
}
