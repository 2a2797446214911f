import type { BatchRow } from '../../activities/batches/batch-row.ts';
import type { Operation } from '../../activities/operation.ts';
import { holdsOneOf, type Role } from '../../activities/roles.ts';
import type { Reader } from '../reads/read.ts';
import { READERS } from '../reads/readers.ts';
import { mayReadBody, readableOperations } from '../writes/access.ts';

/** May pause, resume, cancel and retry the batches of others. */
const CONTROLLERS: readonly Role[] = ['owner', 'admin'];

/** Who has sent a batch may read it, and so may everyone who may read the writes of each of its operations. */
export function mayReadBatch(batch: BatchRow, reader: Reader, operations: readonly Operation[]): boolean {
  if (batch.user_id === reader.userId || holdsOneOf(reader.roles, READERS.everything)) return true;
  const readable = new Set(readableOperations(reader.roles, operations));
  return batch.operations?.every((name) => readable.has(name)) ?? false;
}

/** Who may read what its rows were answered with: as on a replay, not an actor whose roles have been revoked since. */
export function mayReadResults(batch: BatchRow, reader: Reader, operations: readonly Operation[]): boolean {
  return (batch.operations ?? []).every((operation) => mayReadBody({ operation, userId: null }, reader, operations));
}

/** Its actor, with a role that each of its operations allows, and owners and admins. */
export function mayControlBatch(batch: BatchRow, { userId, roles }: Reader, operations: readonly Operation[]): boolean {
  if (holdsOneOf(roles, CONTROLLERS)) return true;
  return (
    batch.user_id === userId &&
    (batch.operations ?? []).every((name) =>
      holdsOneOf(roles, operations.find((operation) => operation.name === name)?.roles ?? []),
    )
  );
}
