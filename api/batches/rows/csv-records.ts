import { isUtf8 } from 'node:buffer';
import { MAX_ROW_BYTES } from './rows.ts';

/** A record of a CSV file: its cells, or why it cannot be read. */
export type CsvRecord = {
  /** The line on which it starts. */
  readonly line: number;
} & (
  | { readonly cells: readonly string[]; readonly count: number }
  /** `rows` is how many rows it counts for; `unread` its cells where they can be told apart, undefined where one is not text. */
  | { readonly malformed: string; readonly rows: number; readonly unread?: readonly (string | undefined)[] }
);

/** A record may have more cells; they are counted, and only so many are kept. */
export const MAX_COLUMNS = 1_000;

const QUOTE = 0x22;
const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;
const NOT_ASCII = /[\x80-\xff]/;

/**
 * Reads the records of a CSV file (RFC 4180) piece by piece; what they are does not depend on how the bytes are cut. The
 * first line end outside quotes is that of the whole file: LF, CR LF or CR.
 *
 * A quote out of place makes its record malformed: within an unquoted cell it is text, and in a quoted cell that goes on
 * after it, it does not end the cell. So a quote that is missing ends at the next one that can, and at the latest with the
 * file. Each quote out of place counts as a row, for ever: the keys of the rows behind it are derived from their numbers.
 *
 * A record that is too long is read on to its end, without being kept: whatever its text looks like, it is not rows.
 */
export function csvRecords(delimiter: string): { read(piece: Buffer): CsvRecord[]; end(): CsvRecord[] } {
  // The bytes are read as Latin-1, one character each, and only cells that need it are decoded.
  const separator = Buffer.from(delimiter).toString('latin1');
  const separatorCode = separator.charCodeAt(0);
  // What has to follow a character before it can be told what it is: a second quote, a delimiter, a line end.
  const lookahead = Math.max(2, separator.length);
  let rest = '';
  let lineEnd = '';
  let line = 1;
  let record = newRecord(line, true);

  const parse = (text: string, isLast: boolean): CsvRecord[] => {
    const records: CsvRecord[] = [];
    const isPlain = !NOT_ASCII.test(text);
    record.isPlain &&= isPlain;
    const until = isLast ? text.length : text.length - lookahead;
    let at = 0;
    while (at < until) {
      const code = text.charCodeAt(at);
      if (record.isQuoted) {
        const quote = code === QUOTE ? at : text.indexOf('"', at);
        if (quote !== at) {
          const stop = quote === -1 || quote > until ? until : quote;
          line += lineBreaks(text, at, stop);
          take(record, text, at, stop);
          at = stop;
        } else if (text.charCodeAt(at + 1) === QUOTE) {
          take(record, text, at, at + 1);
          at += 2;
        } else if (endsCell(text, at + 1)) {
          record.isQuoted = false;
          record.wasQuoted = true;
          at += 1;
        } else {
          blame(record, 'a quoted cell goes on after a quote');
          take(record, text, at, at + 1);
          at += 1;
        }
      } else if (code === QUOTE) {
        if (record.cellLength === 0) record.isQuoted = true;
        else {
          blame(record, 'a quote within a cell that does not begin with one');
          take(record, text, at, at + 1);
        }
        at += 1;
      } else if (code === separatorCode && text.startsWith(separator, at)) {
        endCell(record);
        at += separator.length;
      } else if ((code === LINE_FEED || code === CARRIAGE_RETURN) && isLineEnd(text, at)) {
        if (!isBlank(record)) records.push(finish(record, line));
        at += lineEnd.length;
        line += 1;
        record = newRecord(line, isPlain);
      } else {
        // The first character is text, whatever it is.
        let stop = at + 1;
        while (stop < until && !isSpecial(text.charCodeAt(stop))) stop += 1;
        line += lineBreaks(text, at, at + 1);
        take(record, text, at, stop);
        at = stop;
      }
    }
    rest = text.slice(at);
    return records;
  };

  const isSpecial = (code: number) =>
    code === separatorCode || code === LINE_FEED || code === CARRIAGE_RETURN || code === QUOTE;

  const endsCell = (text: string, at: number) =>
    at === text.length || text.charCodeAt(at) === 0 || text.startsWith(separator, at) || isLineEnd(text, at);

  const isLineEnd = (text: string, at: number) => {
    if (lineEnd === '') lineEnd = LINE_ENDS.find((end) => text.startsWith(end, at)) ?? '';
    return lineEnd !== '' && text.startsWith(lineEnd, at);
  };

  return {
    read: (piece) => parse(rest + piece.toString('latin1'), false),
    end() {
      const records = parse(rest, true);
      if (record.isQuoted) blame(record, 'a quoted cell does not end');
      return isBlank(record) ? records : [...records, finish(record, line)];
    },
  };
}

const LINE_ENDS = ['\r\n', '\n', '\r'];

/** The record that is being read. */
type Open = {
  readonly line: number;
  cells: string[];
  /** How many cells have ended. */
  count: number;
  cell: string;
  cellLength: number;
  /** Of all its cells, in bytes, with their delimiters. */
  length: number;
  isQuoted: boolean;
  wasQuoted: boolean;
  /** Each of its bytes is a character. */
  isPlain: boolean;
  faults: number;
  fault: string;
};

/** One literal, so that all records have one shape in memory; spreading several halved the speed of reading. */
function newRecord(line: number, isPlain: boolean): Open {
  return {
    line,
    cells: [],
    count: 0,
    cell: '',
    cellLength: 0,
    length: 0,
    isQuoted: false,
    wasQuoted: false,
    isPlain,
    faults: 0,
    fault: '',
  };
}

function take(record: Open, text: string, from: number, to: number): void {
  record.cellLength += to - from;
  record.length += to - from;
  if (record.length <= MAX_ROW_BYTES) {
    record.cell += text.slice(from, to);
  } else {
    record.cell = '';
    record.cells = [];
  }
}

function endCell(record: Open): void {
  if (record.cells.length <= MAX_COLUMNS) record.cells.push(record.cell);
  record.count += 1;
  record.length += 1;
  record.cell = '';
  record.cellLength = 0;
  record.wasQuoted = false;
}

function blame(record: Open, fault: string): void {
  record.faults += 1;
  if (record.faults === 1) record.fault = fault;
}

function isBlank({ isQuoted, wasQuoted, count, cellLength }: Open): boolean {
  return !isQuoted && !wasQuoted && count === 0 && cellLength === 0;
}

function finish(record: Open, lastLine: number): CsvRecord {
  endCell(record);
  const { line, count, faults } = record;
  const malformed = (why: string): CsvRecord => ({
    ...{ line, rows: Math.max(1, faults), malformed: `${why} (${linesText(line, lastLine)})` },
  });
  if (faults > 0) return malformed(record.fault);
  if (record.length > MAX_ROW_BYTES) return malformed(`longer than ${MAX_ROW_BYTES} bytes`);
  const cells = record.isPlain ? record.cells : record.cells.map(decode);
  return cells.every(isText) ? { line, cells, count } : { ...malformed('not UTF-8'), unread: cells };
}

function linesText(first: number, last: number): string {
  return first === last ? `line ${first}` : `lines ${first} to ${last}`;
}

/** Undefined where the bytes are not UTF-8; they must not be replaced silently. */
function decode(cell: string): string | undefined {
  if (!NOT_ASCII.test(cell)) return cell;
  const bytes = Buffer.from(cell, 'latin1');
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined;
}

function isText(cell: string | undefined): cell is string {
  return cell !== undefined;
}

/** Of a text with at least one more character behind it, unless the file ends there. CR LF is one. */
function lineBreaks(text: string, from: number, to: number): number {
  let breaks = 0;
  for (let at = from; at < to; at += 1) {
    const code = text.charCodeAt(at);
    if (code === LINE_FEED || (code === CARRIAGE_RETURN && text.charCodeAt(at + 1) !== LINE_FEED)) breaks += 1;
  }
  return breaks;
}
