import type { Row } from '../../activities/batches/row.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { API_ADVICE } from '../../api/batches/rows/column-advice.ts';
import { type FileOptions, readRows } from '../../api/batches/rows/read-rows.ts';

type Bytes = AsyncIterable<Buffer> | string | Buffer;

/** All rows of a file of payments, unless the options say otherwise. */
export async function readFile(file: Bytes, options: Partial<FileOptions> = {}): Promise<Row[]> {
  const rows: Row[] = [];
  const bytes = typeof file === 'string' || Buffer.isBuffer(file) ? inPieces(Buffer.from(file)) : file;
  for await (const row of readRows(bytes, {
    format: 'jsonl',
    operations: OPERATIONS,
    operation: createPayment,
    delimiter: ',',
    keyColumn: undefined,
    map: new Map(),
    advice: API_ADVICE,
    ...options,
  })) {
    rows.push(row);
  }
  return rows;
}

/** Cut at every third byte: in the middle of characters and of line ends. */
async function* inPieces(bytes: Buffer): AsyncGenerator<Buffer> {
  const size = bytes.length > 10_000 ? 65_536 : 3;
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
