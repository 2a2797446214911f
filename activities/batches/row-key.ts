import { hash } from 'node:crypto';
import { parse, validate, version } from 'uuid';
import { uuidV5 } from '../uuid-v5.ts';

/** The UUIDv5 namespace of keys derived from a file and a row; it must never change. */
const ROW_NAMESPACE = '6f1d3c0a-52de-4e0b-9a54-0c7b6f5d8e21';

/**
 * The key of a row without one: it depends only on the file's content and the row, so sending the file again reuses it.
 * `sha256` is that of the file's bytes, in hexadecimal; the first row is 1.
 */
export function keyOfRow(sha256: string, row: number): string {
  return uuidV5(`${sha256}:${row}`, ROW_NAMESPACE);
}

/** The row, from 1 to `rows`, that has this key by {@link keyOfRow}; undefined if none has. A million take a few seconds. */
export function rowOfKey(sha256: string, rows: number, key: string): number | undefined {
  if (!validate(key) || version(key) !== 5) return undefined;
  const prefix = Buffer.from(`${String.fromCharCode(...parse(ROW_NAMESPACE))}${sha256}:`, 'latin1');
  const text = Buffer.concat([prefix, Buffer.alloc(String(rows).length)]);
  // The first four bytes of a UUIDv5 are those of the SHA-1 hash (RFC 9562, section 5.5). Few rows go on from here.
  const start = key.slice(0, 8);
  for (let row = 1; row <= rows; row += 1) {
    const end = prefix.length + text.write(String(row), prefix.length, 'latin1');
    if (hash('sha1', text.subarray(0, end), 'hex').startsWith(start) && keyOfRow(sha256, row) === key) return row;
  }
  return undefined;
}
