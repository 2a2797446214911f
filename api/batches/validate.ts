import { createHash } from 'node:crypto';
import { checkRow } from '../../activities/batches/check-row.ts';
import { ownKeyOf } from '../../activities/batches/row.ts';
import { keyOfRow } from '../../activities/batches/row-key.ts';
import type { Operation } from '../../activities/operation.ts';
import type { ApiContext } from '../context.ts';
import { hashing } from './chunks.ts';
import { noRows, rowsOfFile } from './file-rows.ts';
import type { Format } from './rows/read-rows.ts';
import { inTurns } from './turns.ts';

type Fault = { readonly row: number; key: string | null; readonly code: string; readonly errors: readonly object[] };

export type Validation = { readonly rows: number; readonly valid: number; readonly errors: readonly Fault[] };

/** Of all faults together: a file in which each row is wrong has one mistake, and its first thousands show it. */
const MAX_FAULT_BYTES = 16 * 1024 * 1024;

/** Checks each row as it would be checked at the door, and stores nothing. Throws as the upload would for the whole file. */
export async function validateFile(
  { operations, uploadLimits }: Pick<ApiContext, 'operations' | 'uploadLimits'>,
  file: { readonly operation: Operation | undefined; readonly format: Format; readonly bytes: AsyncIterable<Buffer> },
): Promise<Validation> {
  const { operation, format } = file;
  const hash = createHash('sha256');
  const faults: Fault[] = [];
  let faultBytes = 0;
  let rows = 0;
  let valid = 0;
  for await (const { row } of rowsOfFile(hashing(file.bytes, hash), { operation, operations, format }, uploadLimits)) {
    rows = row.row;
    const checked = checkRow(row, { operations, operation, sha256: '' });
    if (!('code' in checked)) {
      valid += 1;
      continue;
    }
    const given = 'input' in row ? row.input.key : ownKeyOf(row);
    const ownKey = typeof given === 'string' ? given : null;
    const fault = { row: row.row, key: ownKey, code: checked.code, errors: checked.errors };
    faultBytes += JSON.stringify(fault).length;
    if (faultBytes <= MAX_FAULT_BYTES) faults.push(fault);
  }
  if (rows === 0) throw noRows();
  // Known only now: the keys of rows that have none of their own.
  const sha256 = hash.digest('hex');
  for await (const fault of inTurns(faults)) fault.key ??= keyOfRow(sha256, fault.row);
  return { rows, valid, errors: faults };
}
