import { type AuditRow, recordAuditRows } from '../../activities/audit/record-rows.ts';
import { crashPoint } from '../../activities/crash-points.ts';
import type { Pool } from '../../activities/database.ts';
import { withTimeout } from '../../worker/timeouts.ts';

/**
 * Group commit for the audit rows of replays and conflicts: rows that arrive while one statement runs are written by the
 * next. Each answer waits for its row, and fails if the row cannot be written.
 */
export type AuditBatch = { record(row: AuditRow): Promise<void> };

const MAX_ROWS = 500;
/** Then the next rows are written: the connection may be dead, which shows only after the statement timeout. */
const SILENT_AFTER_MS = 1_000;

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
      crashPoint('audit: before');
      const written = recordAuditRows(
        pool,
        batch.map(({ row }) => row),
      )
        .then(() => {
          crashPoint('audit: written');
          onFlush(batch.length, performance.now() - sinceMs);
          for (const { resolve } of batch) resolve();
        })
        .catch((error: unknown) => {
          for (const { reject } of batch) reject(error);
        });
      await withTimeout(written, SILENT_AFTER_MS);
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
