import { checkRow, type RowRefusal } from '../../activities/batches/check-row.ts';
import type { FileOperations, Row } from '../../activities/batches/row.ts';
import { pointerText } from '../cli/fault-text.ts';

/** Reads the whole file before anything is sent, so that a wrong header is found before the first row is sent. */
export async function countRows(rows: AsyncIterable<Row>): Promise<number> {
  let count = 0;
  for await (const _ of rows) count += 1;
  return count;
}

/** Finds the rows that the API would refuse at the door, with the reason. */
export async function findFaults(
  rows: AsyncIterable<Row>,
  file: FileOperations & { readonly sha256: string },
  onFault: (fault: { row: number; line: number; detail: string }) => void,
): Promise<{ rows: number; faults: number }> {
  const counts = { rows: 0, faults: 0 };
  for await (const row of rows) {
    counts.rows += 1;
    const checked = checkRow(row, file);
    if (!('code' in checked)) continue;
    counts.faults += 1;
    onFault({ row: row.row, line: row.line, detail: describe(checked) });
  }
  return counts;
}

/** `/amount: Too small; /lines/0/quantity: …` */
function describe({ detail, errors }: RowRefusal): string {
  const told = errors.map(pointerText);
  return told.length === 0 ? detail : told.join('; ');
}
