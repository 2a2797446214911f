import { createHash } from 'node:crypto';
import { keyOfRow } from '../../activities/batches/row-key.ts';
import { type Operation, parseInput } from '../../activities/operation.ts';
import { MalformedRow, type RowInput } from '../../api/batches/rows/rows.ts';
import { isKey } from '../client/src/keys.ts';
import type { Write } from '../client/src/submit-write.ts';

export type RowRequest = Omit<Write, 'token'> & { readonly keyFrom: KeyFrom };
export type KeyFrom = 'row' | 'file';

/** Throws MalformedRow if the row cannot be sent at all; everything else is left to the API. */
export function toRequest(operation: Operation, input: RowInput, sha256: string, row: number): RowRequest {
  const { key } = input;
  const own = key !== undefined && key !== null;
  if (own && (typeof key !== 'string' || !isKey(key))) {
    throw new MalformedRow(
      `not a valid key: ${JSON.stringify(key)} (must be a string of 1 to 255 printable ASCII characters)`,
    );
  }
  return {
    method: operation.method,
    path: pathOf(operation, input.params),
    key: own ? String(key) : keyOfRow(sha256, row),
    keyFrom: own ? 'row' : 'file',
    body: JSON.stringify(input.body),
  };
}

/** Validates the request as the API would; throws MalformedRow with every problem and its pointer. */
export function validate(operation: Operation, { params, body }: RowInput): void {
  try {
    parseInput(operation, { params, body });
  } catch (error) {
    const { issues } = error as { issues?: readonly { path: readonly PropertyKey[]; message: string }[] };
    if (issues === undefined) throw error;
    throw new MalformedRow(issues.map(({ path, message }) => `/${path.map(String).join('/')}: ${message}`).join('; '));
  }
}

/** Identifies a request by its content and its target. */
export function identify(target: string, { method, path, key, body }: RowRequest): string {
  return createHash('sha256').update([target, method, path, key, body].join('\n')).digest('hex').slice(0, 32);
}

function pathOf(operation: Operation, params: Readonly<Record<string, unknown>>): string {
  const names = Object.keys(operation.params.shape);
  const unknown = Object.keys(params).filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new MalformedRow(`the path ${operation.path} has no parameter ${unknown.join(', ')}`);
  return operation.path.replace(/:(\w+)/g, (_, name: string) => {
    const value = params[name];
    // URL parsers remove "." and ".." from paths.
    if (typeof value !== 'string' || value === '' || value === '.' || value === '..') {
      throw new MalformedRow(`the path ${operation.path} requires a string for ${name}`);
    }
    return encodeURIComponent(value);
  });
}
