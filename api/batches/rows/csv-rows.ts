import type { Row } from '../../../activities/batches/row.ts';
import type { Columns } from './columns.ts';
import { type CsvRecord, csvRecords, MAX_COLUMNS } from './csv-records.ts';
import { MalformedRow, UnreadableFile } from './rows.ts';
import { textOf } from './text-file.ts';

/**
 * Reads CSV (RFC 4180): the first record names the columns, and cells may be quoted. `columnsOf` reads that first record and
 * throws if the file does not fit the operation, before any row is read.
 */
export async function* csvRows(
  bytes: AsyncIterable<Buffer>,
  columnsOf: (names: readonly string[]) => Columns,
  delimiter: string,
): AsyncGenerator<Row> {
  let columns: Columns | undefined;
  let row = 0;
  for await (const records of recordsOf(bytes, delimiter)) {
    for (const record of records) {
      if (columns === undefined) {
        columns = columnsOf(headerOf(record));
      } else if ('malformed' in record) {
        const last = row + record.rows;
        const key = keyOf(record.unread ?? [], columns);
        while (row < last) yield { row: ++row, line: record.line, malformed: record.malformed, key };
      } else {
        row += 1;
        yield readRecord(row, record, columns);
      }
    }
  }
  if (columns === undefined) throw new UnreadableFile('The file is empty: its first line must name the columns.');
}

async function* recordsOf(bytes: AsyncIterable<Buffer>, delimiter: string): AsyncGenerator<readonly CsvRecord[]> {
  const reader = csvRecords(delimiter);
  for await (const piece of textOf(bytes)) yield reader.read(piece);
  yield reader.end();
}

function headerOf(record: CsvRecord): readonly string[] {
  if ('malformed' in record) throw new UnreadableFile(`The header line is malformed: ${record.malformed}.`);
  if (record.count > MAX_COLUMNS) throw new UnreadableFile(`The file has more than ${MAX_COLUMNS} columns.`);
  return record.cells;
}

function readRecord(
  row: number,
  { line, cells, count }: Extract<CsvRecord, { cells: readonly string[] }>,
  columns: Columns,
): Row {
  try {
    if (count !== columns.count) throw new MalformedRow(`${count} cells for ${columns.count} columns`);
    return { row, line, input: columns.read(cells) };
  } catch (error) {
    if (error instanceof MalformedRow) return { row, line, malformed: error.message, key: keyOf(cells, columns) };
    throw error;
  }
}

/** Of a row that cannot be read. A cell too few or too many may stand before the key. */
function keyOf(cells: readonly (string | undefined)[], columns: Columns): string | undefined {
  return cells.length === columns.count ? columns.keyOf(cells) : undefined;
}
