import type { Logger } from 'pino';
import type { Pool } from '../../activities/database.ts';
import { isStorageUnavailable } from '../../activities/failures.ts';
import { recordSecurityRows, type SecurityRow } from '../../activities/security/security-row.ts';
import { withTimeout } from '../../worker/timeouts.ts';
import { createFloodBound, type Observed } from './flood-bound.ts';

/**
 * Rows of the security log, written in batches off the path of the requests that they are about: recording waits for
 * nothing and never throws. While the database does not answer, rows are kept in a bounded buffer; what does not fit is
 * counted as dropped.
 */
export type SecurityLog = {
  record(observed: Observed): void;
  /** Writes what is there, as far as the database answers within two seconds. */
  close(): Promise<void>;
};

export type SecurityLogOptions = {
  readonly pool: Pool;
  readonly logger: Pick<Logger, 'error'>;
  /** Called with a number of rows, and what became of them. */
  readonly onRows?: (rows: number, result: 'written' | 'dropped') => void;
};

const FLUSH_EVERY_MS = 1_000;
const MAX_ROWS_A_STATEMENT = 500;
/** A few megabytes. */
const MAX_WAITING = 10_000;
const CLOSE_WITHIN_MS = 2_000;

type Waiting = { readonly row: Omit<SecurityRow, 'age_ms'>; readonly atMs: number };

export function createSecurityLog({ pool, logger, onRows = () => undefined }: SecurityLogOptions): SecurityLog {
  let waiting: Waiting[] = [];
  let writing: Promise<void> | undefined;
  const bound = createFloodBound((row) => {
    if (waiting.length >= MAX_WAITING) onRows(1, 'dropped');
    else waiting.push({ row, atMs: performance.now() });
  });

  async function writeAll(): Promise<void> {
    let mostAtOnce = MAX_ROWS_A_STATEMENT;
    while (waiting.length > 0) {
      const batch = waiting.slice(0, mostAtOnce);
      const now = performance.now();
      try {
        await recordSecurityRows(
          pool,
          batch.map(({ row, atMs }) => ({ ...row, age_ms: now - atMs })),
        );
        onRows(batch.length, 'written');
      } catch (error) {
        // They stay, and come again at the next turn.
        if (isStorageUnavailable(error)) return;
        // One of them is at fault, and must not take the others along.
        if (batch.length > 1 && mostAtOnce > 1) {
          mostAtOnce = 1;
          continue;
        }
        logger.error({ err: error, rows: batch.length }, 'Bug! The database refuses rows of the security log');
        onRows(batch.length, 'dropped');
      }
      waiting = waiting.slice(batch.length);
    }
  }

  function flush(): Promise<void> {
    bound.tick();
    writing ??= writeAll().finally(() => {
      writing = undefined;
    });
    return writing;
  }

  const timer = setInterval(() => void flush(), FLUSH_EVERY_MS);
  timer.unref();
  return {
    record: bound.observe,
    async close() {
      clearInterval(timer);
      bound.end();
      // The one under way may have begun before the last rows came.
      await withTimeout((writing ?? Promise.resolve()).then(flush), CLOSE_WITHIN_MS);
      if (waiting.length > 0) onRows(waiting.length, 'dropped');
    },
  };
}
