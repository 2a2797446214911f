import type { BatchRow } from '../../activities/batches/batch-row.ts';
import type { Operation } from '../../activities/operation.ts';
import { holdsOneOf, type Role } from '../../activities/roles.ts';
import type { SecurityEvent } from '../../activities/security/security-row.ts';
import { eventOf } from '../reads/confidential.ts';
import type { Reader } from '../reads/read.ts';
import { READERS } from '../reads/readers.ts';
import { mayReadBody, readableOperations, shownBy } from '../writes/access.ts';

/** May pause, resume, cancel and retry the batches of others. */
const CONTROLLERS: readonly Role[] = ['owner', 'admin'];

/** Whoever may send a write of some operation may send a file: what its rows name is known only when they are read. */
export function maySendFile({ roles }: Reader, operation: Operation | undefined, all: readonly Operation[]): boolean {
  return (operation === undefined ? all : [operation]).some((one) => holdsOneOf(roles, one.roles));
}

/** Who has sent a batch may read it, and so may everyone who may read the writes of each of its operations. */
export function mayReadBatch(batch: BatchRow, reader: Reader, operations: readonly Operation[]): boolean {
  if (batch.user_id === reader.userId || holdsOneOf(reader.roles, READERS.everything)) return true;
  const readable = new Set(readableOperations(reader.roles, operations));
  return everyOperation(batch, (name) => readable.has(name));
}

/** Who may read what its rows were answered with: as on a replay, not an actor whose roles have been revoked since. */
export function mayReadResults(batch: BatchRow, reader: Reader, operations: readonly Operation[]): boolean {
  if (holdsOneOf(reader.roles, READERS.everything)) return true;
  // Of a file that names no operation there are only refusals, for who has sent it.
  if (hasNoOperation(batch)) return batch.user_id === reader.userId;
  return everyOperation(batch, (operation) => mayReadBody({ operation, userId: null }, reader, operations));
}

/** Who may learn whether a file is that of the batch: others could find out by guessing what is in it. */
export function mayCompare(batch: BatchRow, reader: Reader, operations: readonly Operation[]): boolean {
  return mayReadBatch(batch, reader, operations) || mayReadResults(batch, reader, operations);
}

/** Its actor, with a role that each of its operations allows, and owners and admins. */
export function mayControlBatch(batch: BatchRow, { userId, roles }: Reader, operations: readonly Operation[]): boolean {
  if (holdsOneOf(roles, CONTROLLERS)) return true;
  if (batch.user_id !== userId) return false;
  return (
    hasNoOperation(batch) ||
    everyOperation(batch, (name) =>
      holdsOneOf(roles, operations.find((operation) => operation.name === name)?.roles ?? []),
    )
  );
}

/** By which events the security log tells who has read the answers of its rows. */
export function eventsOfResults(batch: BatchRow, operations: readonly Operation[]): readonly SecurityEvent[] {
  const shown = (batch.operations ?? []).map((name) => shownBy(name, operations).shows);
  return [...new Set(shown.flatMap((shows) => (shows === undefined || shows === 'entries' ? [] : [eventOf(shows)])))];
}

function hasNoOperation({ operations }: BatchRow): boolean {
  return operations === null || operations.length === 0;
}

/** False where nothing is known of the operations. */
function everyOperation(batch: BatchRow, allows: (name: string) => boolean): boolean {
  return !hasNoOperation(batch) && (batch.operations ?? []).every(allows);
}
