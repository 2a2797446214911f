import { promisify } from 'node:util';
import { deflateRaw, inflateRaw } from 'node:zlib';
import type { Row } from './row.ts';

const compress = promisify(deflateRaw);
const expand = promisify(inflateRaw);

/** Little CPU: the rows of a file resemble each other, so that even this leaves a tenth. */
const LEVEL = 1;
/** What was stored is known to be smaller; a damaged one must not fill the memory. */
const MAX_BYTES = 16 * 1024 * 1024;

/** The rows of a chunk, given as the JSON of each {@link Row}, as one compressed JSON array. */
export function encodeRows(rows: readonly string[]): Promise<Buffer> {
  return compress(`[${rows.join(',')}]`, { level: LEVEL });
}

export async function decodeRows(content: Buffer): Promise<readonly Row[]> {
  return JSON.parse(String(await expand(content, { maxOutputLength: MAX_BYTES }))) as Row[];
}
