import type { Operation } from '../../activities/operation.ts';
import { PAYROLL_OPERATIONS } from '../reads/payroll-entries.ts';
import { shownBy } from '../writes/access.ts';
import type { WriteResource } from '../writes/resource.ts';

/**
 * A write as operators see it: what was asked for and answered is left out where it may tell what somebody is paid, and so it is of
 * an operation that this release does not know.
 */
export function shownToOperators(write: WriteResource, operations: readonly Operation[]): WriteResource {
  if (write.operation === null || mayShowBodies(write.operation, operations)) return write;
  const { request: _request, ...rest } = write;
  return { ...rest, response: null, ...('request' in write ? { request: null } : {}) };
}

function mayShowBodies(operation: string, operations: readonly Operation[]): boolean {
  const isKnown = operations.some(({ name }) => name === operation);
  const { shows } = shownBy(operation, operations);
  return isKnown && shows !== 'payroll' && !PAYROLL_OPERATIONS.includes(operation);
}
