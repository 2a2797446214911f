import { isKey } from '../identity.ts';
import type { Operation } from '../operation.ts';

/** A row of a file of writes; the first row is 1, not counting a header. */
export type Row = {
  readonly row: number;
  /** The line on which it starts, for messages; the first line is 1. */
  readonly line: number;
} & (
  | { readonly input: RowInput }
  /** `key`: what stands where its key belongs, not yet validated; absent where that cannot be read. */
  | { readonly malformed: string; readonly key?: unknown }
);

/** The content of a row, not yet validated. */
export type RowInput = {
  readonly key: unknown;
  /** The name of the row's own operation; undefined if it has that of the file. */
  readonly operation: unknown;
  readonly params: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>>;
};

/** The key by which a row is told, whatever else is wrong with it; undefined where it gives none that may be one. */
export function ownKeyOf(row: Row): string | undefined {
  const key = 'input' in row ? row.input.key : row.key;
  return typeof key === 'string' && isKey(key) ? key : undefined;
}

/** What a file may write: `operation` is that of the rows that name none. */
export type FileOperations = {
  readonly operations: readonly Operation[];
  readonly operation: Operation | undefined;
};

/** The operation of a row, its own before that of the file; undefined if there is none. */
export function operationOf(
  { operation: own }: RowInput,
  { operations, operation }: FileOperations,
): Operation | undefined {
  return own === undefined ? operation : operations.find(({ name }) => name === own);
}
