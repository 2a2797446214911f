import type { Operation } from '../../activities/operation.ts';
import { toJsonSchema } from '../../api/openapi/json-schema.ts';
import { MalformedRow, type RowInput } from './rows.ts';

/** What the columns of a CSV file mean for one operation. */
export type Columns = {
  readonly count: number;
  read(cells: readonly string[]): RowInput;
};

export type ColumnOptions = {
  /** Column → path, for columns that are not named by their path; `-` leaves a column out. */
  readonly map: ReadonlyMap<string, string>;
  readonly keyColumn: string | undefined;
};

const KEY_COLUMNS = ['key', 'idempotencyKey'];
const LEFT_OUT = '-';

/** Where a cell goes: by names, and by numbers where there is a list. */
type Place = { readonly in: 'params' | 'body' } & Spot;
type Spot = { readonly steps: readonly (string | number)[]; readonly schema: Schema };
type Column = { readonly name: string; readonly place: Place | 'key' | undefined };

/** As much of JSON Schema as tells what a cell is. */
type Schema = {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
};

/** Throws where a column has no place in the operation, or two have the same: all rows would be wrong. */
export function readColumns(names: readonly string[], operation: Operation, options: ColumnOptions): Columns {
  const wanted = [...options.map.keys(), ...(options.keyColumn === undefined ? [] : [options.keyColumn])];
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new Error(`There is no column ${unknown.join(', ')} in ${names.join(', ')}.`);
  const columns = names.map((name): Column => ({ name, place: placeOf(name, operation, options) }));
  refuseClashes(columns);
  return {
    count: columns.length,
    read(cells) {
      const input = { key: undefined as unknown, params: {}, body: {} };
      for (const [index, { name, place }] of columns.entries()) {
        const cell = cells[index];
        // A CSV file cannot tell an empty text from none; an empty text is allowed nowhere.
        if (cell === undefined || cell === '' || place === undefined) continue;
        if (place === 'key') input.key = cell;
        else put(input[place.in], place.steps, fromCell(cell, place.schema, name));
      }
      return input;
    },
  };
}

function placeOf(name: string, operation: Operation, { map, keyColumn }: ColumnOptions): Column['place'] {
  const mapped = map.get(name);
  if (mapped === LEFT_OUT) return undefined;
  const isKey = keyColumn === undefined ? KEY_COLUMNS.includes(name) : name === keyColumn;
  if (mapped === undefined && isKey) return 'key';
  const place = findPlace(stepsOf(mapped ?? name), operation);
  if (place !== undefined) return place;
  throw new Error(
    `Column "${name}": ${operation.name} has no ${mapped ?? name}. Give --map "${name}=<path>", such as ` +
      `lines.0.description or params.invoiceId, or --map "${name}=${LEFT_OUT}" to leave it out.`,
  );
}

/** `lines.0.quantity`, `lines[0].quantity` and `/lines/0/quantity` (RFC 6901) are the same. */
function stepsOf(path: string): string[] {
  if (path.startsWith('/')) {
    return path
      .slice(1)
      .split('/')
      .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
  }
  return path.replace(/\[(\d+)\]/g, '.$1').split('.');
}

/** In the body, or in the path: said by a first step `body` or `params`, or else wherever there is such a member. */
function findPlace(steps: readonly string[], operation: Operation): Place | undefined {
  const body = toJsonSchema(operation.body);
  const params = toJsonSchema(operation.params);
  const [first, ...rest] = steps;
  const within = (place: Place['in'], path: readonly string[]): Place | undefined => {
    const spot = path.length === 0 ? undefined : findSpot(place === 'body' ? body : params, path);
    return spot === undefined ? undefined : { in: place, ...spot };
  };
  return (
    within('body', steps) ??
    within('params', steps) ??
    (first === 'body' || first === 'params' ? within(first, rest) : undefined)
  );
}

function findSpot(schema: Schema, [step, ...rest]: readonly string[]): Spot | undefined {
  if (step === undefined) return { steps: [], schema };
  for (const form of [schema, ...(schema.anyOf ?? [])]) {
    const member = memberOf(form, step);
    const inner = member === undefined ? undefined : findSpot(member, rest);
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
  // Nothing is said of the members: any is allowed, and its cell is a text.
  return others === true ? { type: 'string' } : typeof others === 'object' ? others : undefined;
}

/** A number or a truth value where the operation wants one; a list or an object stands in its cell as JSON. */
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
  for (const { name, place } of columns) {
    if (place === undefined) continue;
    const path = place === 'key' ? place : `/${[place.in, ...place.steps].join('/')}`;
    for (const [otherPath, other] of taken) {
      if (path === otherPath || path.startsWith(`${otherPath}/`) || otherPath.startsWith(`${path}/`)) {
        throw new Error(`The columns "${other}" and "${name}" stand for the same.`);
      }
    }
    taken.set(path, name);
  }
}
