import { isUtf8 } from 'node:buffer';
import type { FileOperations, Row } from '../../../activities/batches/row.ts';
import { keyOfUnread, type RowForm, readObject, rowForm } from './json-row.ts';
import { MAX_ROW_BYTES, MalformedRow, printable } from './rows.ts';
import { textOf } from './text-file.ts';

const LINE_FEED = 0x0a;
/** A line that comes in single bytes would otherwise take a hundred times its size. */
const MAX_PARTS = 1_000;
const MAX_REASON = 300;
const BYTE_ORDER_MARK = 0xfeff;

/**
 * Reads one JSON object per line, `{key?, operation?, params?, body}` or the body itself; skips blank lines. `keyMember` is
 * the member with the key, by default `key` or `idempotencyKey`.
 */
export async function* jsonLines(
  bytes: AsyncIterable<Buffer>,
  file: FileOperations,
  keyMember: string | undefined,
): AsyncGenerator<Row> {
  const form = rowForm(file, keyMember);
  let row = 0;
  let line = 0;
  for await (const lines of linesOf(bytes)) {
    for (const text of lines) {
      line += 1;
      if (typeof text === 'string' && text.trim() === '') continue;
      row += 1;
      yield readLine(row, line, text, form);
    }
  }
}

function readLine(row: number, line: number, text: string | MalformedRow, form: RowForm): Row {
  let value: unknown;
  try {
    if (typeof text !== 'string') throw text;
    value = parse(text);
    return { row, line, input: readObject(value, form) };
  } catch (error) {
    if (error instanceof MalformedRow) return { row, line, malformed: error.message, key: keyOfUnread(value, form) };
    throw error;
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line.charCodeAt(0) === BYTE_ORDER_MARK ? line.slice(1) : line);
  } catch (error) {
    throw new MalformedRow(`not JSON: ${printable((error as Error).message, MAX_REASON)}`);
  }
}

/**
 * Splits at line feeds only: JSON may contain U+2028 and U+2029, at which readline would also split. Yields the lines that
 * each piece completes, and buffers at most the limit of a line that is too long.
 */
async function* linesOf(bytes: AsyncIterable<Buffer>): AsyncGenerator<readonly (string | MalformedRow)[]> {
  let parts: Buffer[] = [];
  let length = 0;
  const add = (part: Buffer) => {
    length += part.length;
    if (length > MAX_ROW_BYTES) parts = [];
    else if (parts.push(part) > MAX_PARTS) parts = [Buffer.concat(parts)];
  };
  const end = () => {
    const line =
      length > MAX_ROW_BYTES ? new MalformedRow(`longer than ${MAX_ROW_BYTES} bytes`) : decode(Buffer.concat(parts));
    parts = [];
    length = 0;
    return line;
  };
  for await (const piece of textOf(bytes)) {
    const first = piece.indexOf(LINE_FEED);
    if (first === -1) {
      add(piece);
      continue;
    }
    add(piece.subarray(0, first));
    const line = end();
    const last = piece.lastIndexOf(LINE_FEED);
    yield first === last ? [line] : [line, ...decodeLines(piece.subarray(first + 1, last))];
    add(piece.subarray(last + 1));
  }
  if (length > 0) yield [end()];
}

/** Whole lines, decoded at once where all of them are UTF-8: that is several times as fast. */
function decodeLines(lines: Buffer): readonly (string | MalformedRow)[] {
  if (isUtf8(lines)) return lines.toString('utf8').split('\n');
  const decoded: (string | MalformedRow)[] = [];
  let from = 0;
  for (let at = lines.indexOf(LINE_FEED); at !== -1; at = lines.indexOf(LINE_FEED, from)) {
    decoded.push(decode(lines.subarray(from, at)));
    from = at + 1;
  }
  return [...decoded, decode(lines.subarray(from))];
}

/** Bytes that are not UTF-8 make the row malformed; they must not be replaced silently. */
function decode(line: Buffer): string | MalformedRow {
  return isUtf8(line) ? line.toString('utf8') : new MalformedRow('not UTF-8');
}
