import { asApplication } from '../../activities/as-application.ts';
import type { Pool } from '../../activities/database.ts';
import type { CursorKey } from './cursor.ts';

/** The key of all processes. Read at the start of each, since nothing changes it. */
export async function readCursorKey(pool: Pool): Promise<CursorKey> {
  const [row] = await asApplication(pool, (tx) =>
    tx.query<{ key: Buffer; signed_in_ms: number; unsigned_for_ms: number }>(
      `SELECT key,
         extract(epoch FROM signed_from - clock_timestamp())::double precision * 1000 AS signed_in_ms,
         extract(epoch FROM unsigned_until - clock_timestamp())::double precision * 1000 AS unsigned_for_ms
       FROM cursor_key`,
    ),
  );
  if (row === undefined) throw new Error('Bug! The table cursor_key has one row, always');
  const nowMs = performance.now();
  return { key: row.key, signedFromMs: nowMs + row.signed_in_ms, unsignedUntilMs: nowMs + row.unsigned_for_ms };
}
