import type { Operation } from '../../activities/operation.ts';
import { holdsOneOf, type Role } from '../../activities/roles.ts';
import type { Read, Reader } from '../reads/read.ts';
import { READS } from '../reads/read-list.ts';
import { READERS } from '../reads/readers.ts';
import type { WriteResource } from './resource.ts';

/** What decides who may read a write. A cancelled key has no operation, and a lost write may have no user. */
export type KnownWrite = { readonly operation: string | null; readonly userId: string | null };

/** Its actor may read a write, and so may everyone who may read the resource that it makes or changes. */
export function mayReadWrite(write: KnownWrite, reader: Reader, operations: readonly Operation[]): boolean {
  return write.userId === reader.userId || mayReadOperation(write.operation, reader.roles, operations);
}

/** Who may read the stored body: as on a replay, not an actor whose roles have been revoked since. */
export function mayReadBody(write: KnownWrite, { roles }: Reader, operations: readonly Operation[]): boolean {
  const writers = operations.find(({ name }) => name === write.operation)?.roles ?? [];
  return holdsOneOf(roles, writers) || mayReadOperation(write.operation, roles, operations);
}

/** The operations whose writes these roles may read, whoever made them. */
export function readableOperations(roles: readonly string[], operations: readonly Operation[]): string[] {
  return operations.map(({ name }) => name).filter((name) => mayReadOperation(name, roles, operations));
}

function mayReadOperation(name: string | null, roles: readonly string[], operations: readonly Operation[]): boolean {
  return holdsOneOf(roles, readersOf(operations.find((operation) => operation.name === name)));
}

/** What the answers of an operation show, as those of the reads of its resource do. */
export function shownBy(name: string | null, operations: readonly Operation[]): Pick<Read, 'shows'> {
  return listOf(operations.find((operation) => operation.name === name)) ?? {};
}

/** What is confidential in the description of a write: in what it answered, or in what is asked for. */
export function shownIn(
  { operation, response, request }: Pick<WriteResource, 'operation' | 'response' | 'request'>,
  operations: readonly Operation[],
): 'payroll' | 'personal data' | undefined {
  const { shows } = shownBy(operation, operations);
  return shows === 'entries' || (response === null && (request ?? null) === null) ? undefined : shows;
}

/** Those who may read the list of the operation's resource. */
function readersOf(operation: Operation | undefined): readonly Role[] {
  return READERS[listOf(operation)?.group ?? 'everything'];
}

function listOf(operation: Operation | undefined): Read | undefined {
  return READS.find(({ path }) => path === operation?.resource.reads);
}
