import { type AuditRow, recordAuditRows } from '../../activities/audit/record-rows.ts';
import type { Pool } from '../../activities/database.ts';

/**
 * Group commit for the audit rows of replays and conflicts: while one statement is on its way, the rows that come
 * meanwhile gather for the next. The answer waits for its row; a row that cannot be written fails its answer.
 */
export type AuditBatch = { record(row: AuditRow): Promise<void> };

const MAX_ROWS = 500;

/** `onFlush` is told of each statement that went well: how many rows it wrote, and how long it took in milliseconds. */
export function createAuditBatch(
  pool: Pool,
  onFlush: (rows: number, durationMs: number) => void = () => undefined,
): AuditBatch {
  let waiting: { row: AuditRow; resolve: () => void; reject: (error: unknown) => void }[] = [];
  let writing = false;

  async function writeAll(): Promise<void> {
    writing = true;
    while (waiting.length > 0) {
      const batch = waiting.slice(0, MAX_ROWS);
      waiting = waiting.slice(MAX_ROWS);
      const sinceMs = performance.now();
      try {
        await recordAuditRows(
          pool,
          batch.map(({ row }) => row),
        );
        onFlush(batch.length, performance.now() - sinceMs);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    writing = false;
  }

  return {
    record(row) {
      const recorded = new Promise<void>((resolve, reject) => waiting.push({ row, resolve, reject }));
      if (!writing) void writeAll();
      return recorded;
    },
  };
}
