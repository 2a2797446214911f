import { type FileOptions, readRows } from '../../api/batches/rows/read-rows.ts';
import type { Source } from '../cli/source.ts';
import type { Batch, BatchValidation } from '../client/src/generated/types.ts';

/** A row that came to nothing, as the API tells of it. */
type Fault = BatchValidation['errors'][number] & Partial<Pick<Batch['errors'][number], 'status' | 'detail'>>;

export type PlacedFault = Omit<Fault, 'errors'> & {
  /** On which it starts; undefined where the file is not at hand. */
  readonly line?: number | undefined;
  readonly errors: readonly { readonly pointer?: string; readonly message?: string }[];
};

/** The lines of rows in their file; it is read no further than to the last of them. */
export async function placeFaults(faults: readonly Fault[], source: Source, file: FileOptions): Promise<PlacedFault[]> {
  const missing = new Set(faults.map(({ row }) => row));
  const places = new Map<number, { line: number; malformed: string | undefined }>();
  if (missing.size > 0) {
    for await (const row of readRows(source.read(), file)) {
      if (!missing.delete(row.row)) continue;
      places.set(row.row, { line: row.line, malformed: 'malformed' in row ? row.malformed : undefined });
      if (missing.size === 0) break;
    }
  }
  return faults.map((fault) => {
    const { line, malformed } = places.get(fault.row) ?? {};
    if (malformed === undefined) return { ...fault, line };
    // The API has not seen the line itself where the row was mapped.
    return { ...fault, line, detail: `The row is malformed: ${malformed}.`, errors: [] };
  });
}
