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
