import { z } from 'zod';
import { fingerprint } from '../identity.ts';
import { type Operation, parseInput } from '../operation.ts';
import { jsonPointer, namesOf, type ProblemPointer } from '../problem.ts';
import type { StoredInput, WriteRow } from './write-row.ts';

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
 * Members that were erased with a person count as equal, whatever is sent now: no old key becomes a new write.
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
    const stored = withErasedFrom(mine.body, row.request);
    const { params, body } = parseInput(operation, isLater ? membersKnownTo(operation, stored) : stored);
    return fingerprint(operation.name, { params: params as Record<string, string>, body }) === mine.fingerprint;
  } catch {
    return false; // today's schema refuses the stored request but has accepted this one, so they differ
  }
}

/** The stored request with what is sent now in the place of what was erased. */
function withErasedFrom(body: RequestContent['body'], stored: StoredInput): StoredInput {
  if (stored.erased === undefined) return stored;
  const filled = structuredClone(stored.body);
  for (const pointer of stored.erased) {
    const names = namesOf(pointer);
    const last = names.pop() ?? '';
    const [holder, sent] = [filled, body].map((from) =>
      names.reduce<unknown>((at, name) => (isContainer(at) ? at[name] : undefined), from),
    );
    if (!isContainer(holder)) continue;
    if (isContainer(sent) && Object.hasOwn(sent, last)) holder[last] = sent[last];
    else delete holder[last];
  }
  return { ...stored, body: filled };
}

/** Params and body without the members that the schema does not know, at any depth. */
function membersKnownTo({ params, body }: Operation, request: StoredInput) {
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

/** The differences of two requests: the operation, or members of path and body as JSON pointers. None is in what was erased. */
export function differences(stored: Stored, mine: RequestContent): ProblemPointer[] {
  if (stored.operation !== mine.operation) return [{ in: 'operation', pointer: '' }];
  const isErased = (pointer: string) =>
    stored.erased?.some((erased) => pointer === erased || pointer.startsWith(`${erased}/`)) ?? false;
  return [
    ...pathsThatDiffer(stored.params, mine.params).map((path) => ({ in: 'path' as const, pointer: jsonPointer(path) })),
    ...pathsThatDiffer(stored.body, mine.body)
      .map((path) => ({ in: 'body' as const, pointer: jsonPointer(path) }))
      .filter(({ pointer }) => !isErased(pointer)),
  ].slice(0, MAX_DIFFERENCES);
}

/**
 * Of these differences, what the audit log keeps: where the requests differ, by the names that the schema knows. Names that a client
 * has chosen (in its notes, say) may be a person's, so that the member that holds them stands for them.
 */
export function recordedDifferences(
  { params, body }: Pick<Operation, 'params' | 'body'>,
  pointers: readonly ProblemPointer[],
): Pick<ProblemPointer, 'in' | 'pointer'>[] {
  const known = pointers.map((one) => ({
    in: one.in,
    pointer: one.in === 'operation' ? '' : knownPart(one.in === 'path' ? params : body, one.pointer),
  }));
  const last = new Map(known.map((one) => [`${one.in} ${one.pointer}`, one]));
  return [...last.values()].slice(0, MAX_RECORDED);
}

const MAX_RECORDED = 20;
const MAX_POINTER_LENGTH = 200;

function knownPart(schema: z.ZodType, pointer: string): string {
  const names: string[] = [];
  let at: z.ZodType | undefined = schema;
  for (const name of namesOf(pointer)) {
    at = memberOf(at, name);
    if (at === undefined) break;
    names.push(name);
  }
  return jsonPointer(names).slice(0, MAX_POINTER_LENGTH);
}

/** Undefined where the schema does not name it. */
function memberOf(schema: z.ZodType, name: string): z.ZodType | undefined {
  if (schema instanceof z.ZodObject)
    return Object.hasOwn(schema.shape, name) ? (schema.shape[name] as z.ZodType) : undefined;
  if (schema instanceof z.ZodArray) return /^\d+$/.test(name) ? (schema.element as z.ZodType) : undefined;
  const inner = innerOf(schema);
  return inner === undefined ? undefined : memberOf(inner, name);
}

function innerOf(schema: z.ZodType): z.ZodType | undefined {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault)
    return schema.unwrap() as z.ZodType;
  if (!(schema instanceof z.ZodPipe)) return undefined;
  return (schema.in instanceof z.ZodTransform ? schema.out : schema.in) as z.ZodType;
}

type Stored = Omit<RequestContent, 'fingerprint'> & Pick<StoredInput, 'erased'>;

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
