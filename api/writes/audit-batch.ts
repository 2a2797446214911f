import { type AuditRow, recordAuditRows } from '../../activities/audit/record-rows.ts';
import type { Pool } from '../../activities/database.ts';

/**
 * Group commit for the audit rows of replays and conflicts: rows that arrive while one statement runs are written by the
 * next. Each answer waits for its row, and fails if the row cannot be written.
 */
export type AuditBatch = { record(row: AuditRow): Promise<void> };

const MAX_ROWS = 500;

/** `onFlush` is called after each successful statement, with its number of rows and its duration in milliseconds. */
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
