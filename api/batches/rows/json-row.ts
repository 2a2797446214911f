import type { FileOperations, RowInput } from '../../../activities/batches/row.ts';
import { KEY_NAMES, MalformedRow, shown } from './rows.ts';

type Members = Readonly<Record<string, unknown>>;

/** What the rows of one file may look like; made once, since it is asked for each row. */
export type RowForm = {
  /** The names of operations that a row may name. */
  readonly operations: ReadonlySet<string>;
  /** The members of the operation of the file; undefined without one. */
  readonly flat: { readonly params: readonly string[]; readonly body: ReadonlySet<string> } | undefined;
  /** The members in which a row may have its key. */
  readonly keyMembers: readonly string[];
  readonly envelope: ReadonlySet<string>;
};

export function rowForm({ operations, operation }: FileOperations, keyMember: string | undefined): RowForm {
  return {
    operations: new Set(operations.map(({ name }) => name)),
    flat: operation && {
      params: Object.keys(operation.params.shape),
      body: new Set(Object.keys(operation.body.shape)),
    },
    keyMembers: keyMember === undefined ? KEY_NAMES : [keyMember],
    envelope: new Set([...KEY_NAMES, ...(keyMember === undefined ? [] : [keyMember]), 'operation', 'params', 'body']),
  };
}

/** Reads an envelope `{key?, operation?, params?, body?}`, or else the body itself. Throws MalformedRow. */
export function readObject(value: unknown, form: RowForm): RowInput {
  if (!isObject(value)) throw new MalformedRow('not a JSON object');
  const named = own(value, 'operation');
  const names = named !== undefined && named !== null && !form.keyMembers.includes('operation');
  const operation = names ? named : undefined;
  const foreign = Object.keys(value).find((member) => !form.envelope.has(member));
  const body = form.flat?.body.has('body') ? undefined : own(value, 'body');
  if (isObject(body)) {
    if (foreign === undefined) return readEnvelope(value, body, operation, form);
    if (names) throw new MalformedRow(`beside "operation" and "body" there is no member ${shown(foreign)}`);
  }
  // As a request of an operation that needs none.
  const hasNoBody = !Object.hasOwn(value, 'body') && (names || isObject(own(value, 'params')));
  const isBody = form.flat !== undefined && ['operation', 'params'].some((member) => form.flat?.body.has(member));
  if (foreign === undefined && hasNoBody && !isBody) return readEnvelope(value, {}, operation, form);
  if (form.flat === undefined) throw new MalformedRow(NO_ENVELOPE);
  return readFlat(value, form.flat, form.keyMembers);
}

const NO_ENVELOPE =
  'it has no "body", or further members: without an operation of the file, a row is ' +
  '{"key": …, "operation": …, "params": {…}, "body": {…}}';

function readEnvelope(value: Members, body: Members, operation: unknown, form: RowForm): RowInput {
  if (operation === undefined && form.flat === undefined) {
    throw new MalformedRow('neither the row nor the file has an operation');
  }
  if (operation !== undefined && !form.operations.has(operation as string)) {
    throw new MalformedRow(`there is no operation ${shown(operation)}`);
  }
  const { params = {} } = { params: own(value, 'params') };
  if (!isObject(params)) throw new MalformedRow('params is not an object');
  return { key: onlyKey(form.keyMembers.map((name) => own(value, name))), operation, params, body };
}

/** The line is the body itself: a member that the body does not have may be the key or a path parameter. */
function readFlat(value: Members, flat: NonNullable<RowForm['flat']>, keyMembers: readonly string[]): RowInput {
  const body = { ...value };
  const take = (name: string) => {
    const taken = body[name];
    delete body[name];
    return taken;
  };
  const foreign = (name: string) => Object.hasOwn(body, name) && !flat.body.has(name);
  const params = Object.fromEntries(flat.params.filter(foreign).map((name) => [name, take(name)]));
  const given =
    keyMembers === KEY_NAMES ? keyMembers.filter(foreign) : keyMembers.filter((name) => Object.hasOwn(body, name));
  return { key: onlyKey(given.map(take)), operation: undefined, params, body };
}

/** What a row that cannot be read has as its key; undefined where it has none, or two. */
export function keyOfUnread(value: unknown, { keyMembers }: RowForm): unknown {
  if (!isObject(value)) return undefined;
  const given = keyMembers.map((name) => own(value, name)).filter((each) => each !== undefined);
  return given.length === 1 ? given[0] : undefined;
}

/** Which of two the row is to be written under cannot be told. */
function onlyKey(given: readonly unknown[]): unknown {
  const [key, another] = given.filter((each) => each !== undefined);
  if (another !== undefined) throw new MalformedRow(`it has two keys, ${shown(key)} and ${shown(another)}`);
  return key;
}

function own(value: Members, name: string): unknown {
  return Object.hasOwn(value, name) ? value[name] : undefined;
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
