import type { Operation } from '../../activities/operation.ts';
import { bankTransactionResource } from '../../activities/resources/bank-transaction.ts';
import { PAYROLL_OPERATIONS } from '../reads/payroll-entries.ts';
import { shownBy } from '../writes/access.ts';
import type { WriteResource } from '../writes/resource.ts';
import { withoutBodies } from '../writes/without-bodies.ts';

/**
 * A write as operators see it: what was asked for, answered and commented on is left out unless it is known not to tell what
 * somebody is paid. So it is of an operation that this release does not know, and of a write whose operation nobody knows.
 */
export function shownToOperators(write: WriteResource, operations: readonly Operation[]): WriteResource {
  return write.operation !== null && mayShowBodies(write.operation, operations) ? write : withoutBodies(write);
}

/** The items of a list likewise. */
export function listedToOperators<T extends Pick<WriteResource, 'operation' | 'document'>>(
  items: readonly T[],
  operations: readonly Operation[],
): T[] {
  return items.map((item) =>
    item.operation !== null && mayShowBodies(item.operation, operations) ? item : { ...item, document: null },
  );
}

/** Pay is among what the bank has booked, and may be among what was posted by hand (`entries`). */
function mayShowBodies(operation: string, operations: readonly Operation[]): boolean {
  const known = operations.find(({ name }) => name === operation);
  if (known === undefined || PAYROLL_OPERATIONS.includes(operation)) return false;
  const { shows } = shownBy(operation, operations);
  const isOfBank = known.resource.reads === bankTransactionResource.reads;
  return !isOfBank && (shows === undefined || shows === 'personal data');
}
