import type { WireInput } from '../../workflows/messages.ts';
import { BODY_TOO_DEEP, BODY_TOO_LARGE, isNestedTooDeep, MAX_BODY_BYTES } from '../body-limits.ts';
import { checkInput, INPUT_REFUSED } from '../check-input.ts';
import { isKey, isTriggerKey, TRIGGER_KEY_REFUSED } from '../identity.ts';
import type { Operation } from '../operation.ts';
import type { ProblemPointer } from '../problem.ts';
import { type FileOperations, operationOf, ownKeyOf, type Row } from './row.ts';
import { keyOfRow } from './row-key.ts';
import { pathProblems } from './row-path.ts';

/** A row that may be written. */
export type RowWrite = {
  readonly operation: Operation;
  readonly key: string;
  /** Whether the row names its key; otherwise it follows from the file and the row. */
  readonly keyGiven: boolean;
  readonly input: WireInput;
};

/** A row that the API would refuse at the door if it were sent alone. */
export type RowRefusal = {
  /** Null where the row has no usable one. */
  readonly key: string | null;
  readonly code: 'validation_failed';
  readonly detail: string;
  readonly errors: readonly ProblemPointer[];
  /** Where only a new key is refused: the write that an earlier one under this key is compared with. */
  readonly unlessStored?: RowWrite;
};

/**
 * Checks a row as the API checks a request, in the same order and with the same pointers and messages. `sha256` is that of
 * the file, in hexadecimal.
 */
export function checkRow(row: Row, file: FileOperations & { readonly sha256: string }): RowWrite | RowRefusal {
  if ('malformed' in row) return malformed(row, row.malformed);
  const { key: own, params, body } = row.input;
  const operation = operationOf(row.input, file);
  if (operation === undefined) return malformed(row, 'the row has no operation');
  const keyGiven = own !== undefined && own !== null;
  const key = keyGiven ? own : keyOfRow(file.sha256, row.row);
  const usable = typeof key === 'string' && isKey(key) ? key : null;

  if (isNestedTooDeep(body)) {
    return invalid(usable, `The body ${BODY_TOO_DEEP}.`, [{ in: 'body', pointer: '', message: BODY_TOO_DEEP }]);
  }
  if (Buffer.byteLength(JSON.stringify(body)) > MAX_BODY_BYTES) {
    return invalid(usable, BODY_TOO_LARGE, [{ in: 'body', pointer: '', message: BODY_TOO_LARGE }]);
  }
  if (usable === null) return invalid(null, KEY_REFUSED, [{ in: 'body', pointer: '/key', message: KEY_REFUSED }]);
  const checked = checkInput(operation, { params, body });
  if ('errors' in checked) return invalid(usable, INPUT_REFUSED, checked.errors);
  const unsendable = pathProblems(operation, params);
  if (unsendable.length > 0) return invalid(usable, INPUT_REFUSED, unsendable);

  const write: RowWrite = { operation, key: usable, keyGiven, input: checked.input as WireInput };
  if (!isTriggerKey(usable)) return write;
  const errors = [{ in: 'body', pointer: '/key', message: TRIGGER_KEY_REFUSED }] as const;
  return { ...invalid(usable, TRIGGER_KEY_REFUSED, errors), unlessStored: write };
}

const KEY_REFUSED = 'The key of a row is a string of 1–255 printable ASCII characters.';

function malformed(row: Row, message: string): RowRefusal {
  return invalid(ownKeyOf(row) ?? null, `The row is malformed: ${message}.`, [{ in: 'body', pointer: '', message }]);
}

function invalid(key: string | null, detail: string, errors: readonly ProblemPointer[]): RowRefusal {
  return { key, code: 'validation_failed', detail, errors };
}
