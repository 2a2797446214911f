import { pipeline, Readable } from 'node:stream';
import { type CsvError, type InfoRecord, parse } from 'csv-parse';
import type { Columns } from './columns.ts';
import { MalformedRow, type Row } from './rows.ts';

/** As for JSON lines: the API accepts bodies of at most 1 MiB. */
const MAX_RECORD_BYTES = 2 * 1024 * 1024;
/** The replacement character, which the decoder inserts for bytes that are not UTF-8. */
const NOT_UTF_8 = '\uFFFD';

type CsvRecord = { readonly row: number; readonly line: number } & (
  | { readonly cells: readonly string[] }
  | { readonly malformed: string }
);

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
  for await (const { row, line, ...record } of records(bytes, delimiter)) {
    if (columns === undefined) {
      if ('malformed' in record) throw new Error(`The header line is malformed: ${record.malformed}`);
      columns = columnsOf(record.cells);
    } else {
      // Record 0 was the header.
      yield { row, line, ...('malformed' in record ? record : readCells(record.cells, columns)) };
    }
  }
  if (columns === undefined) throw new Error('The file is empty: its first line must name the columns.');
}

function readCells(cells: readonly string[], columns: Columns) {
  try {
    if (cells.length !== columns.count) {
      throw new MalformedRow(`${cells.length} cells for ${columns.count} columns`);
    }
    if (cells.some((cell) => cell.includes(NOT_UTF_8))) throw new MalformedRow('not UTF-8');
    return { input: columns.read(cells) };
  } catch (error) {
    if (error instanceof MalformedRow) return { malformed: error.message };
    throw error;
  }
}

/**
 * Yields parsed and malformed records. After an unbalanced quote the parser resynchronizes at the next quote; everything up
 * to there is one malformed row, reported with its lines.
 */
async function* records(bytes: AsyncIterable<Buffer>, delimiter: string): AsyncGenerator<CsvRecord> {
  let row = -1;
  let lastLine = 0;
  const positions: { row: number; line: number }[] = [];
  const malformed: CsvRecord[] = [];
  const parser = parse({
    bom: true,
    delimiter,
    relax_column_count: true,
    skip_empty_lines: true,
    skip_records_with_error: true,
    max_record_size: MAX_RECORD_BYTES,
    // Called in the order of the file, before the records are read below, so it assigns the numbers.
    on_record: (cells: string[], { lines }: InfoRecord) => {
      row += 1;
      lastLine = lines;
      positions.push({ row, line: lines - lineBreaksIn(cells) });
      return cells;
    },
    on_skip: (error: CsvError | undefined) => {
      row += 1;
      const upTo = Number(error?.['lines'] ?? lastLine + 1);
      malformed.push({ row, line: lastLine + 1, malformed: `${error?.message} (lines ${lastLine + 1} to ${upTo})` });
      lastLine = upTo;
      return undefined;
    },
  });
  // An error destroys the parser, so the loop below throws it.
  pipeline(Readable.from(bytes), parser, () => undefined);
  for await (const cells of parser as AsyncIterable<string[]>) {
    const position = positions.shift();
    if (position === undefined) throw new Error('Bug! A record has no position');
    while (malformed[0] !== undefined && malformed[0].row < position.row) yield malformed.shift() as CsvRecord;
    yield { ...position, cells };
  }
  yield* malformed;
}

function lineBreaksIn(cells: readonly string[]): number {
  return cells.reduce((sum, cell) => sum + (cell.match(/\r\n|\n|\r/g)?.length ?? 0), 0);
}
