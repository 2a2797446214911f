import { createHash } from 'node:crypto';
import { exactJson } from '../../activities/batches/exact-json.ts';
import { type FileOperations, operationOf, type RowInput } from '../../activities/batches/row.ts';
import { keyOfRow } from '../../activities/batches/row-key.ts';
import { pathOf, pathProblems } from '../../activities/batches/row-path.ts';
import { BODY_TOO_DEEP, isNestedTooDeep } from '../../activities/body-limits.ts';
import { isKey } from '../../activities/identity.ts';
import { MalformedRow, shown } from '../../api/batches/rows/rows.ts';
import type { Write } from '../client/src/submit-write.ts';

export type RowRequest = Omit<Write, 'token'> & { readonly keyFrom: KeyFrom };
export type KeyFrom = 'row' | 'file';

/** Throws MalformedRow if the row cannot be sent at all; everything else is left to the API. */
export function toRequest(file: FileOperations, input: RowInput, sha256: string, row: number): RowRequest {
  const { key, params, body } = input;
  const operation = operationOf(input, file);
  if (operation === undefined) throw new MalformedRow('the row has no operation');
  const own = key !== undefined && key !== null;
  if (own && (typeof key !== 'string' || !isKey(key))) {
    throw new MalformedRow(`not a valid key: ${shown(key)} (must be a string of 1 to 255 printable ASCII characters)`);
  }
  const [unsendable] = pathProblems(operation, params);
  if (unsendable !== undefined) throw new MalformedRow(unsendable.message ?? unsendable.pointer);
  if (isNestedTooDeep(body)) throw new MalformedRow(`the body ${BODY_TOO_DEEP}`);
  return {
    method: operation.method,
    path: pathOf(operation, params),
    key: own ? String(key) : keyOfRow(sha256, row),
    keyFrom: own ? 'row' : 'file',
    body: exactJson(body),
  };
}

/** Identifies a request by its content and its target. */
export function identify(target: string, { method, path, key, body }: RowRequest): string {
  return createHash('sha256').update([target, method, path, key, body].join('\n')).digest('hex').slice(0, 32);
}
