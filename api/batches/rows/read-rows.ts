import type { Operation } from '../../../activities/operation.ts';
import { readColumns } from './columns.ts';
import { csvRows } from './csv-rows.ts';
import { jsonLines } from './json-lines.ts';
import type { Row } from './rows.ts';

export type Format = 'jsonl' | 'csv';

export type FileOptions = {
  readonly operation: Operation;
  readonly format: Format;
  /** One character between the cells of CSV. */
  readonly delimiter: string;
  /** The column or the member with the key of each row; by default `key` or `idempotencyKey`. */
  readonly keyColumn: string | undefined;
  /** Column → path, for columns of CSV that are not named after their path; `-` ignores a column. */
  readonly map: ReadonlyMap<string, string>;
};

/** Reads the writes of a file as they come, the same for an upload and for `npm run replay`. */
export function readRows(
  bytes: AsyncIterable<Buffer>,
  { operation, format, delimiter, keyColumn, map }: FileOptions,
): AsyncGenerator<Row> {
  if (format === 'jsonl') return jsonLines(bytes, operation, keyColumn);
  return csvRows(bytes, (names) => readColumns(names, operation, { map, keyColumn }), delimiter);
}
