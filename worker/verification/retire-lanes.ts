import type { Pool } from '../../activities/database.ts';
import type { Verification } from '../fence.ts';
import { call } from './call.ts';
import { missingWrites } from './missing-writes.ts';
import type { NamedRuns } from './named-runs.ts';
import { type LaneRow, readGroups, readLaneRows } from './read-lanes.ts';

/** A process that has said nothing for so long is gone, or frozen; one that comes back registers anew. */
const SILENT_MS = 5 * 60_000;
/** Longer than what a group had begun can go on after it was ended from outside. */
const GONE_MS = 60 * 60_000;

/**
 * Closes the lanes of processes that are gone, once each of their groups is settled: a later verification then need not look
 * at them, and never has to go back further than Temporal remembers. A completed group that misses a row closes the database.
 */
export async function retireLanes(pool: Pool, runs: NamedRuns, verification: Verification): Promise<void> {
  const { version } = verification;
  for (const row of await readLaneRows(pool, version, verification.live)) {
    if (row.retired || row.heartbeatAgeMs < SILENT_MS) continue;
    const settled = await settleGroups(pool, runs, verification, row);
    if (settled === undefined) continue;
    await call(pool, 'SELECT retire_lane($1, $2, $3, $4, $5) AS done', [
      ...[version, verification.live, row.lane, row.settled, settled],
    ]);
  }
}

/** The last group of the lane, which is closed behind it; undefined while one of them is not settled. */
async function settleGroups(
  pool: Pool,
  runs: NamedRuns,
  { version, live }: Verification,
  { lane, settled }: LaneRow,
): Promise<number | undefined> {
  let last = settled;
  const poison = { version, incarnation: live, because: 'retired' } as const;
  for await (const found of readGroups(runs, { version, lane, settled }, poison, [])) {
    if (found.kind !== 'group') return undefined;
    const { group } = found;
    if (group.state === 'open') return undefined;
    const missing = await missingWrites(pool, live, group);
    if (missing.length > 0 && group.state === 'completed') {
      const reason = `${missing.length} writes of ${group.workflowId} have no row`;
      await call(pool, 'SELECT close_database($1, $2, $3) AS done', [version, live, reason]);
      return undefined;
    }
    if (missing.length > 0 && !isLongGone(group.closedAt)) return undefined;
    last = group.number;
  }
  return last;
}

function isLongGone(closedAt: string | undefined): boolean {
  // biome-ignore lint/plugin: it is compared with a point in time that Temporal tells.
  return closedAt !== undefined && Date.now() - Date.parse(closedAt) > GONE_MS;
}
