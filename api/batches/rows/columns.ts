import type { Operation } from '../../../activities/operation.ts';
import { toJsonSchema } from '../../openapi/json-schema.ts';
import { MalformedRow, type RowInput } from './rows.ts';

/** Maps the columns of a CSV file to the request of one operation. */
export type Columns = {
  readonly count: number;
  read(cells: readonly string[]): RowInput;
};

export type ColumnOptions = {
  /** Column → path, for columns that are not named after their path; `-` ignores a column. */
  readonly map: ReadonlyMap<string, string>;
  readonly keyColumn: string | undefined;
};

const KEY_COLUMNS = ['key', 'idempotencyKey'];
const IGNORED = '-';

/** The member of the request that a cell sets; a path step is a name, or a number within an array. */
type Target = { readonly in: 'params' | 'body' } & Member;
type Member = { readonly steps: readonly (string | number)[]; readonly schema: Schema };
type Column = { readonly name: string; readonly target: Target | 'key' | undefined };

/** The part of JSON Schema that determines the type of a cell. */
type Schema = {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
};

/** Throws if a column does not match a member of the request, or if two match the same: all rows would be wrong. */
export function readColumns(names: readonly string[], operation: Operation, options: ColumnOptions): Columns {
  const wanted = [...options.map.keys(), ...(options.keyColumn === undefined ? [] : [options.keyColumn])];
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length > 0)
    throw new Error(`There is no column ${unknown.join(', ')}; the columns are ${names.join(', ')}.`);
  const columns = names.map((name): Column => ({ name, target: targetOf(name, operation, options) }));
  refuseClashes(columns);
  return {
    count: columns.length,
    read(cells) {
      const input = { key: undefined as unknown, params: {}, body: {} };
      for (const [index, { name, target }] of columns.entries()) {
        const cell = cells[index];
        // CSV cannot distinguish an empty string from a missing value; no operation accepts an empty string.
        if (cell === undefined || cell === '' || target === undefined) continue;
        if (target === 'key') input.key = cell;
        else put(input[target.in], target.steps, fromCell(cell, target.schema, name));
      }
      return input;
    },
  };
}

function targetOf(name: string, operation: Operation, { map, keyColumn }: ColumnOptions): Column['target'] {
  const mapped = map.get(name);
  if (mapped === IGNORED) return undefined;
  const isKey = keyColumn === undefined ? KEY_COLUMNS.includes(name) : name === keyColumn;
  if (mapped === undefined && isKey) return 'key';
  const target = findTarget(stepsOf(mapped ?? name), operation);
  if (target !== undefined) return target;
  throw new Error(
    `Column "${name}": ${operation.name} has no ${mapped ?? name}. Give --map "${name}=<path>", such as ` +
      `lines.0.description or params.invoiceId, or --map "${name}=${IGNORED}" to ignore it.`,
  );
}

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
function findTarget(steps: readonly string[], operation: Operation): Target | undefined {
  const body = toJsonSchema(operation.body);
  const params = toJsonSchema(operation.params);
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
function fromCell(cell: string, schema: Schema, name: string): unknown {
  const types = [schema, ...(schema.anyOf ?? [])].map(({ type }) => type);
  if (types.includes('string')) return cell;
  if (types.includes('integer') || types.includes('number')) {
    if (/^-?\d+(\.\d+)?$/.test(cell) && Math.abs(Number(cell)) <= Number.MAX_SAFE_INTEGER) return Number(cell);
    throw new MalformedRow(`column ${name}: not a number: ${JSON.stringify(cell)}`);
  }
  try {
    return JSON.parse(cell);
  } catch {
    throw new MalformedRow(`column ${name}: not JSON: ${JSON.stringify(cell)}`);
  }
}

function put(target: Record<string | number, unknown>, steps: readonly (string | number)[], value: unknown): void {
  const [step, next, ...rest] = steps;
  if (step === undefined) return;
  if (next === undefined) {
    target[step] = value;
    return;
  }
  target[step] ??= typeof next === 'number' ? [] : {};
  put(target[step] as Record<string | number, unknown>, [next, ...rest], value);
}

function refuseClashes(columns: readonly Column[]): void {
  const taken = new Map<string, string>();
  for (const { name, target } of columns) {
    if (target === undefined) continue;
    const path = target === 'key' ? target : `/${[target.in, ...target.steps].join('/')}`;
    for (const [otherPath, other] of taken) {
      if (path === otherPath || path.startsWith(`${otherPath}/`) || otherPath.startsWith(`${path}/`)) {
        throw new Error(`The columns "${other}" and "${name}" set the same member.`);
      }
    }
    taken.set(path, name);
  }
}
