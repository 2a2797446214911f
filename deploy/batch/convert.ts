import { exactJson } from '../../activities/batches/exact-json.ts';
import { ownKeyOf, type Row } from '../../activities/batches/row.ts';
import { keyOfRow } from '../../activities/batches/row-key.ts';
import { isNestedTooDeep } from '../../activities/body-limits.ts';

const PIECE_BYTES = 64 * 1024;

/**
 * The rows of a file as NDJSON that means the same without its mapping: each with the key that `replay` would give it, which
 * follows from the file as it is on the disk. `sha256` is that of this file, in hexadecimal. A row that cannot be read stays a
 * row, so that the others keep their numbers, and is one that the API cannot read either.
 */
export async function* toNdjson(rows: AsyncIterable<Row>, sha256: string): AsyncGenerator<Buffer> {
  let lines: string[] = [];
  let length = 0;
  for await (const row of rows) {
    const line = `${exactJson(toLine(row, sha256))}\n`;
    lines.push(line);
    length += line.length;
    if (length < PIECE_BYTES) continue;
    yield Buffer.from(lines.join(''));
    lines = [];
    length = 0;
  }
  if (lines.length > 0) yield Buffer.from(lines.join(''));
}

function toLine(row: Row, sha256: string): unknown {
  if ('malformed' in row) return unreadable(row);
  const { key, operation, params, body } = row.input;
  // Its text might not even be made.
  if ([key, params, body].some((part) => isNestedTooDeep(part))) return unreadable(row);
  // One that is no key is sent as it is: the API refuses the row for it.
  return { key: key ?? keyOfRow(sha256, row.row), operation, params, body };
}

/** What the API cannot read either, whatever the operation; told by its key where it gives one. */
function unreadable(row: Row): unknown {
  const key = ownKeyOf(row);
  return key === undefined ? null : { key, operation: '', body: {} };
}
