import { rowId } from '../../activities/identity.ts';
import type { WriteContext } from '../../activities/operation.ts';
import { Rejection } from '../../activities/write/rejection.ts';

/** The context of a write that a test decides without a database. */
export function decideContext(overrides: Partial<WriteContext<string>> = {}): WriteContext<string> {
  const writeId = overrides.writeId ?? '0c9ddf4c-3b4a-5a52-8d0c-5b6a2f0e1d01';
  return {
    companyId: '7b1d3c52-7a0e-4b6f-9a2f-0c5f5b6f2e01',
    userId: '5d2f6c1e-8b3a-4f7d-a1c9-3e6b9d0f4a02',
    operation: 'decided',
    allowPrivateWebhooks: false,
    rowId: (table, position) => rowId(writeId, table, position),
    reject: (...args) => new Rejection(...args),
    ...overrides,
    writeId,
  };
}
