import { createHash } from 'node:crypto';
import { v5 as uuidv5 } from 'uuid';
import { type Operation, parseInput } from '../../activities/operation.ts';
import { isKey } from '../../api/writes/key.ts';
import type { Write } from '../client/submit-write.ts';
import { MalformedRow, type RowInput } from './rows.ts';

/** The UUIDv5 namespace of keys that are made from a file and a row; fixed for ever. */
const ROW_NAMESPACE = '6f1d3c0a-52de-4e0b-9a54-0c7b6f5d8e21';

export type RowRequest = Omit<Write, 'token'> & { readonly keyFrom: KeyFrom };
export type KeyFrom = 'row' | 'file';

/** The key of a row that gives none: the same file has the same keys, whenever and from wherever it is sent. */
export function keyOfRow(sha256: string, row: number): string {
  return uuidv5(`${sha256}:${row}`, ROW_NAMESPACE);
}

/** Throws MalformedRow for what cannot be sent. What can be sent is judged by the API, not here. */
export function toRequest(operation: Operation, input: RowInput, sha256: string, row: number): RowRequest {
  const { key } = input;
  const own = key !== undefined && key !== null;
  if (own && (typeof key !== 'string' || !isKey(key))) {
    throw new MalformedRow(`no key: ${JSON.stringify(key)} (a text of 1 to 255 printable ASCII characters)`);
  }
  return {
    method: operation.method,
    path: pathOf(operation, input.params),
    key: own ? String(key) : keyOfRow(sha256, row),
    keyFrom: own ? 'row' : 'file',
    body: JSON.stringify(input.body),
  };
}

/** What the API would refuse at the door, found without it: every problem with its pointer. */
export function validate(operation: Operation, { params, body }: RowInput): void {
  try {
    parseInput(operation, { params, body });
  } catch (error) {
    const { issues } = error as { issues?: readonly { path: readonly PropertyKey[]; message: string }[] };
    if (issues === undefined) throw error;
    throw new MalformedRow(issues.map(({ path, message }) => `/${path.map(String).join('/')}: ${message}`).join('; '));
  }
}

/** Tells requests apart: what a row asks, of whom. */
export function identify(target: string, { method, path, key, body }: RowRequest): string {
  return createHash('sha256').update([target, method, path, key, body].join('\n')).digest('hex').slice(0, 32);
}

function pathOf(operation: Operation, params: Readonly<Record<string, unknown>>): string {
  const names = Object.keys(operation.params.shape);
  const unknown = Object.keys(params).filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new MalformedRow(`the path ${operation.path} has no ${unknown.join(', ')}`);
  return operation.path.replace(/:(\w+)/g, (_, name: string) => {
    const value = params[name];
    // A dot or two would be another path.
    if (typeof value !== 'string' || value === '' || value === '.' || value === '..') {
      throw new MalformedRow(`the path ${operation.path} needs a text for ${name}`);
    }
    return encodeURIComponent(value);
  });
}
