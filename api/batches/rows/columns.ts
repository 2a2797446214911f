import { z } from 'zod';
import type { RowInput } from '../../../activities/batches/row.ts';
import type { Operation } from '../../../activities/operation.ts';
import { jsonPointer } from '../../../activities/problem.ts';
import type { ColumnAdvice } from './column-advice.ts';
import { KEY_NAMES, MalformedRow, printable, shown, UnreadableFile } from './rows.ts';

/** Maps the columns of a CSV file to the request of one operation. */
export type Columns = {
  readonly count: number;
  read(cells: readonly string[]): RowInput;
  /** The cell with the key, whatever the others are; undefined where there is none. */
  keyOf(cells: readonly (string | undefined)[]): string | undefined;
};

export type ColumnOptions = {
  /** Column → path, for columns that are not named after their path; `-` ignores a column. */
  readonly map: ReadonlyMap<string, string>;
  readonly keyColumn: string | undefined;
  readonly advice: ColumnAdvice;
};

/** A longer one would be repeated in the JSON of each row. */
const MAX_NAME_LENGTH = 500;
/** In place of a path: the column is ignored. */
export const IGNORED = '-';
/** What tables are separated by, beside commas. */
const OTHER_DELIMITERS = [';', '\t'];

/** The member of the request that a cell sets; a path step is a name, or a number within an array. */
type Target = { readonly in: 'params' | 'body' } & Member;
type Member = { readonly steps: readonly (string | number)[]; readonly schema: Schema };
type Column = { readonly name: string; readonly target: Target | 'key' | undefined };
/** The schemas of an operation, made once for all columns. */
type Request = { readonly name: string; readonly params: Schema; readonly body: Schema };

/** The part of JSON Schema that determines the type of a cell. */
type Schema = {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
};

/** Throws UnreadableFile if a column does not match a member of the request, if two match the same, or if an index lacks the one before. */
export function readColumns(names: readonly string[], operation: Operation, options: ColumnOptions): Columns {
  const request = requestOf(operation);
  refuseDelimiter(names, request, options);
  const long = names.find((name) => name.length > MAX_NAME_LENGTH);
  if (long !== undefined) {
    throw new UnreadableFile(`The name of a column has more than ${MAX_NAME_LENGTH} characters: "${printable(long)}".`);
  }
  const wanted = [...options.map.keys(), ...(options.keyColumn === undefined ? [] : [options.keyColumn])];
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length > 0) {
    throw new UnreadableFile(
      `There is no column ${unknown.join(', ')}; the columns are ${printable(names.join(', '), MAX_LIST)}.`,
    );
  }
  const columns = names.map((name): Column => ({ name, target: targetOf(name, request, options) }));
  refuseClashes(columns);
  refuseGaps(columns);
  const readers = columns.map(readerOf);
  const keyAt = columns.findIndex(({ target }) => target === 'key');
  return {
    count: columns.length,
    read(cells) {
      const input: Draft = { key: undefined, operation: undefined, params: {}, body: {} };
      for (let index = 0; index < readers.length; index += 1) {
        const cell = cells[index];
        // CSV cannot distinguish an empty string from a missing value; no operation accepts an empty string.
        if (cell !== undefined && cell !== '') readers[index]?.(input, cell);
      }
      return input;
    },
    keyOf: (cells) => cells[keyAt],
  };
}

/** One column whose name looks like several: all else that could be said of it would mislead. */
function refuseDelimiter(names: readonly string[], request: Request, { map, keyColumn, advice }: ColumnOptions): void {
  const [name = '', another] = names;
  const found = another === undefined ? OTHER_DELIMITERS.find((delimiter) => name.includes(delimiter)) : undefined;
  if (found === undefined || map.has(name) || name === keyColumn) return;
  if (findTarget(stepsOf(name), request) !== undefined) return;
  throw new UnreadableFile(
    `The file has one column, "${printable(name)}": its cells seem to be separated by ${found === '\t' ? 'tabs' : `"${found}"`}. ` +
      advice.otherDelimiter(found),
  );
}

function requestOf({ name, params, body }: Operation): Request {
  return {
    name,
    params: z.toJSONSchema(params, { io: 'input' }) as Schema,
    body: z.toJSONSchema(body, { io: 'input' }) as Schema,
  };
}

type Draft = { key: unknown; operation: undefined; params: Record<string, unknown>; body: Record<string, unknown> };

function readerOf({ name, target }: Column): ((input: Draft, cell: string) => void) | undefined {
  if (target === undefined) return undefined;
  if (target === 'key') {
    return (input, cell) => {
      input.key = cell;
    };
  }
  const { in: part, steps } = target;
  const convert = converterOf(name, target.schema);
  return (input, cell) => put(input[part], steps, convert(cell));
}

function targetOf(name: string, request: Request, { map, keyColumn, advice }: ColumnOptions): Column['target'] {
  const mapped = map.get(name);
  if (mapped === IGNORED) return undefined;
  const isKey = keyColumn === undefined ? KEY_NAMES.includes(name) : name === keyColumn;
  if (mapped === undefined && isKey) return 'key';
  const target = findTarget(stepsOf(mapped ?? name), request);
  if (target !== undefined) return target;
  const column = printable(name);
  throw new UnreadableFile(
    `Column "${column}": ${request.name} has no ${printable(mapped ?? name)}. ${advice.unknownColumn(column)}`,
  );
}

/** How much of a header a message repeats. */
const MAX_LIST = 1_000;

/** `lines.0.quantity`, `lines[0].quantity` and `/lines/0/quantity` (RFC 6901) mean the same member. */
function stepsOf(path: string): string[] {
  if (path.startsWith('/')) {
    return path
      .slice(1)
      .split('/')
      .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
  }
  return path.replace(/\[(\d+)\]/g, '.$1').split('.');
}

/** Finds the member in the body, else in the path; a first step `body` or `params` selects one explicitly. */
function findTarget(steps: readonly string[], { params, body }: Request): Target | undefined {
  const [first, ...rest] = steps;
  const within = (part: Target['in'], path: readonly string[]): Target | undefined => {
    const member = path.length === 0 ? undefined : findMember(part === 'body' ? body : params, path);
    return member === undefined ? undefined : { in: part, ...member };
  };
  return (
    within('body', steps) ??
    within('params', steps) ??
    (first === 'body' || first === 'params' ? within(first, rest) : undefined)
  );
}

function findMember(schema: Schema, [step, ...rest]: readonly string[]): Member | undefined {
  if (step === undefined) return { steps: [], schema };
  for (const form of [schema, ...(schema.anyOf ?? [])]) {
    const member = memberOf(form, step);
    const inner = member === undefined ? undefined : findMember(member, rest);
    if (inner !== undefined) {
      return { steps: [form.items === undefined ? step : Number(step), ...inner.steps], schema: inner.schema };
    }
  }
  return undefined;
}

function memberOf(schema: Schema, step: string): Schema | undefined {
  if (schema.items !== undefined) return /^\d{1,4}$/.test(step) ? schema.items : undefined;
  if (schema.properties !== undefined && Object.hasOwn(schema.properties, step)) return schema.properties[step];
  const others = schema.additionalProperties;
  // The schema allows any member; its cell is a string.
  return others === true ? { type: 'string' } : typeof others === 'object' ? others : undefined;
}

/** Converts a cell to the type of the member: string, number or boolean; an array or an object is JSON in the cell. */
function converterOf(name: string, schema: Schema): (cell: string) => unknown {
  const types = [schema, ...(schema.anyOf ?? [])].map(({ type }) => type);
  if (types.includes('string')) return (cell) => cell;
  if (types.includes('integer') || types.includes('number')) {
    return (cell) => {
      if (/^-?\d+(\.\d+)?$/.test(cell) && Math.abs(Number(cell)) <= Number.MAX_SAFE_INTEGER) return Number(cell);
      throw new MalformedRow(`column ${printable(name)}: not a number: ${shown(cell)}`);
    };
  }
  return (cell) => {
    try {
      return JSON.parse(cell);
    } catch {
      throw new MalformedRow(`column ${printable(name)}: not JSON: ${shown(cell)}`);
    }
  };
}

type Container = Record<string | number, unknown>;

function put(target: Container, steps: readonly (string | number)[], value: unknown): void {
  const last = steps.length - 1;
  let inner = target;
  for (let index = 0; index < last; index += 1) {
    const step = steps[index] as string | number;
    if (!Object.hasOwn(inner, step)) set(inner, step, typeof steps[index + 1] === 'number' ? [] : {});
    inner = inner[step] as Container;
  }
  set(inner, steps[last] as string | number, value);
}

/** An assignment to `__proto__` would change the prototype instead. */
function set(target: Container, name: string | number, value: unknown): void {
  if (name !== '__proto__') target[name] = value;
  else Object.defineProperty(target, name, { value, enumerable: true, writable: true, configurable: true });
}

function refuseClashes(columns: readonly Column[]): void {
  /** Each member that is set, and each one that contains it, with the column. */
  const set = new Map<string, string>();
  const within = new Map<string, string>();
  for (const { name, target } of columns) {
    if (target === undefined) continue;
    const steps = target === 'key' ? ['key'] : [target.in, ...target.steps.map(String)];
    const paths = steps.map((_, index) => jsonPointer(steps.slice(0, index + 1)));
    const path = paths.pop() as string;
    const other = [path, ...paths].map((part) => set.get(part)).find(Boolean) ?? within.get(path);
    if (other !== undefined)
      throw new UnreadableFile(`The columns "${printable(other)}" and "${printable(name)}" set the same member.`);
    set.set(path, name);
    for (const part of paths) if (!within.has(part)) within.set(part, name);
  }
}

/** `lines.9999.amount` alone would make ten thousand lines of each row, of which no operation takes the empty ones. */
function refuseGaps(columns: readonly Column[]): void {
  const numbered = columns.flatMap(({ name, target }) =>
    target === undefined || target === 'key'
      ? []
      : target.steps.flatMap((step, at) =>
          typeof step === 'number'
            ? [{ name, array: [target.in, ...target.steps.slice(0, at).map(String)], step }]
            : [],
        ),
  );
  const found = new Set(numbered.map(({ array, step }) => jsonPointer([...array, String(step)])));
  for (const { name, array, step } of numbered) {
    if (step === 0 || found.has(jsonPointer([...array, String(step - 1)]))) continue;
    throw new UnreadableFile(
      `Column "${printable(name)}": there is no column for the element before it, ` +
        `${printable([...array.slice(1), step - 1].join('.'))}. Number the elements from 0, without gaps.`,
    );
  }
}
