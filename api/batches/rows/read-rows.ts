import type { FileOperations, Row } from '../../../activities/batches/row.ts';
import type { ColumnAdvice } from './column-advice.ts';
import { readColumns } from './columns.ts';
import { csvRows } from './csv-rows.ts';
import { jsonLines } from './json-lines.ts';
import { UnreadableFile } from './rows.ts';

export type Format = 'jsonl' | 'csv';

export type FileOptions = FileOperations & {
  readonly format: Format;
  /** One character between the cells of CSV. */
  readonly delimiter: string;
  /** The column or the member with the key of each row; by default `key` or `idempotencyKey`. */
  readonly keyColumn: string | undefined;
  /** Column → path, for columns of CSV that are not named after their path; `-` ignores a column. */
  readonly map: ReadonlyMap<string, string>;
  readonly advice: ColumnAdvice;
};

/**
 * Reads the writes of a file as they come, the same for an upload and for `npm run replay`. A row that cannot be read is
 * malformed, and the others are not affected. Throws UnreadableFile, with the first row, where the whole file cannot be read.
 */
export function readRows(bytes: AsyncIterable<Buffer>, options: FileOptions): AsyncGenerator<Row> {
  const { operations, operation, format, delimiter, keyColumn, map, advice } = options;
  if (format === 'jsonl') return jsonLines(bytes, { operations, operation }, keyColumn);
  const columnsOf = (names: readonly string[]) => {
    if (operation === undefined) {
      throw new UnreadableFile(
        'CSV needs an operation for the whole file: its columns are the members of that operation.',
      );
    }
    return readColumns(names, operation, { map, keyColumn, advice });
  };
  return csvRows(bytes, columnsOf, delimiter);
}
