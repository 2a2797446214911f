import { fingerprint } from './identity.ts';
import { type Operation, parseInput } from './operation.ts';
import type { ProblemPointer } from './problem.ts';
import type { WriteRow } from './write-row.ts';

export type RequestContent = {
  readonly operation: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>>;
  readonly fingerprint: string;
};

/**
 * Is this the request that the row was made for? Equal fingerprints say yes. Others may come from another version of the
 * schema: the stored request is parsed by today's, so that a new optional member with a default does not break old keys.
 */
export function isSameRequest(
  row: Pick<WriteRow, 'operation' | 'fingerprint' | 'request'>,
  mine: RequestContent,
  operations: readonly Operation[],
): boolean {
  if (row.fingerprint === mine.fingerprint) return true;
  const operation = operations.find(({ name }) => name === row.operation);
  if (operation === undefined || operation.name !== mine.operation || row.request === null) return false;
  try {
    const { params, body } = parseInput(operation, row.request);
    return fingerprint(operation.name, { params: params as Record<string, string>, body }) === mine.fingerprint;
  } catch {
    return false; // what today's schema refuses cannot be what it has just accepted
  }
}

/** Where two requests differ: the operation, or the members of path and body, each by its JSON pointer. */
export function differences(stored: Omit<RequestContent, 'fingerprint'>, mine: RequestContent): ProblemPointer[] {
  if (stored.operation !== mine.operation) return [{ in: 'operation', pointer: '' }];
  return [
    ...pointersThatDiffer(stored.params, mine.params, '').map((pointer) => ({ in: 'path' as const, pointer })),
    ...pointersThatDiffer(stored.body, mine.body, '').map((pointer) => ({ in: 'body' as const, pointer })),
  ].slice(0, MAX_DIFFERENCES);
}

const MAX_DIFFERENCES = 100;

function pointersThatDiffer(a: unknown, b: unknown, pointer: string): string[] {
  if (!isContainer(a) || !isContainer(b) || Array.isArray(a) !== Array.isArray(b))
    return Object.is(a, b) ? [] : [pointer];
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].flatMap((name) => {
    const next = `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    return Object.hasOwn(a, name) && Object.hasOwn(b, name) ? pointersThatDiffer(a[name], b[name], next) : [next];
  });
}

function isContainer(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
