import type { z } from 'zod';
import { fingerprint } from '../identity.ts';
import { type Operation, parseInput } from '../operation.ts';
import { jsonPointer, type ProblemPointer } from '../problem.ts';
import type { WriteRow } from './write-row.ts';

export type RequestContent = {
  readonly operation: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>>;
  readonly fingerprint: string;
};

/**
 * Whether this is the request for which the row was written. Equal fingerprints mean yes. Different ones may come from
 * another version of the schema, so the stored request is parsed with today's schema: a new optional member with a default
 * must not break old keys. A row of a later release, possible during a roll-out, is compared by the members known to both.
 */
export function isSameRequest(
  row: Pick<WriteRow, 'operation' | 'fingerprint' | 'request' | 'schema_version'>,
  mine: RequestContent,
  operations: readonly Operation[],
): boolean {
  if (row.fingerprint === mine.fingerprint) return true;
  const operation = operations.find(({ name }) => name === row.operation);
  if (operation === undefined || operation.name !== mine.operation || row.request === null) return false;
  try {
    const isLater = (row.schema_version ?? 0) > operation.schemaVersion;
    const { params, body } = parseInput(operation, isLater ? membersKnownTo(operation, row.request) : row.request);
    return fingerprint(operation.name, { params: params as Record<string, string>, body }) === mine.fingerprint;
  } catch {
    return false; // today's schema refuses the stored request but has accepted this one, so they differ
  }
}

/** Params and body without the members that the schema does not know, at any depth. */
function membersKnownTo({ params, body }: Operation, request: NonNullable<WriteRow['request']>) {
  return { params: withoutUnknown(params, request.params), body: withoutUnknown(body, request.body) };
}

function withoutUnknown(schema: z.ZodType, value: unknown): unknown {
  const known = structuredClone(value);
  for (const issue of schema.safeParse(value).error?.issues ?? []) {
    if (issue.code !== 'unrecognized_keys') continue;
    const holder = issue.path.reduce<unknown>((at, name) => (isContainer(at) ? at[String(name)] : undefined), known);
    if (isContainer(holder)) for (const name of issue.keys) delete holder[name];
  }
  return known;
}

/** The differences of two requests: the operation, or members of path and body as JSON pointers. */
export function differences(stored: Omit<RequestContent, 'fingerprint'>, mine: RequestContent): ProblemPointer[] {
  if (stored.operation !== mine.operation) return [{ in: 'operation', pointer: '' }];
  return [
    ...pathsThatDiffer(stored.params, mine.params).map((path) => ({ in: 'path' as const, pointer: jsonPointer(path) })),
    ...pathsThatDiffer(stored.body, mine.body).map((path) => ({ in: 'body' as const, pointer: jsonPointer(path) })),
  ].slice(0, MAX_DIFFERENCES);
}

const MAX_DIFFERENCES = 100;

/** Of the members that differ: the names on the way to each. */
function pathsThatDiffer(a: unknown, b: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (!isContainer(a) || !isContainer(b) || Array.isArray(a) !== Array.isArray(b)) return Object.is(a, b) ? [] : [path];
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].flatMap((name) => {
    const next = [...path, name];
    return Object.hasOwn(a, name) && Object.hasOwn(b, name) ? pathsThatDiffer(a[name], b[name], next) : [next];
  });
}

function isContainer(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
