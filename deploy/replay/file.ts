import { extname } from 'node:path';
import type { Operation } from '../../activities/operation.ts';
import type { Format } from '../../api/batches/rows/read-rows.ts';
import { MalformedRow, type Row } from '../../api/batches/rows/rows.ts';
import { toRequest, validate } from './request.ts';

/** By the file name's extension; standard input is read as JSON lines. */
export function formatOf(path: string): Format {
  return extname(path).toLowerCase() === '.csv' ? 'csv' : 'jsonl';
}

/** Reads the whole file before anything is sent, so that a wrong header is found before the first row is sent. */
export async function countRows(rows: AsyncIterable<Row>): Promise<number> {
  let count = 0;
  for await (const _ of rows) count += 1;
  return count;
}

/** Finds the rows whose request the API would refuse as invalid, with the reason. */
export async function findFaults(
  rows: AsyncIterable<Row>,
  { operation, sha256 }: { operation: Operation; sha256: string },
  onFault: (fault: { row: number; line: number; detail: string }) => void,
): Promise<{ rows: number; faults: number }> {
  const counts = { rows: 0, faults: 0 };
  for await (const row of rows) {
    counts.rows += 1;
    const detail = faultOf(row, operation, sha256);
    if (detail === undefined) continue;
    counts.faults += 1;
    onFault({ row: row.row, line: row.line, detail });
  }
  return counts;
}

function faultOf(row: Row, operation: Operation, sha256: string): string | undefined {
  if ('malformed' in row) return row.malformed;
  try {
    toRequest(operation, row.input, sha256, row.row);
    validate(operation, row.input);
    return undefined;
  } catch (error) {
    if (error instanceof MalformedRow) return error.message;
    throw error;
  }
}
