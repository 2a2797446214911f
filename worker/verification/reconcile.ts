import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from '../../activities/database.ts';
import { DAY_MS } from '../../activities/durations.ts';
import { groupWorkflowId, laneWorkflowId } from '../../workflows/messages.ts';
import type { Verification } from '../fence.ts';
import { call } from './call.ts';
import { missingWrites } from './missing-writes.ts';
import type { NamedRuns } from './named-runs.ts';
import { type LaneRow, nextVersion, readLaneRows, readLanes } from './read-lanes.ts';

export type ReconcileDependencies = {
  readonly pool: Pool;
  readonly runs: NamedRuns;
  /** Of this process, in the lease. */
  readonly process: string;
  /** False where no process can be alive that has made a write: none is waited for. */
  readonly awaitsSurvivors?: boolean;
  /** How long Temporal keeps closed runs. */
  retentionMs(): Promise<number>;
};

/**
 * - `continued`: nothing is missing, and the server is open again under a new version.
 * - `replaced`: an operator has to verify; `reason` says why.
 * - `left`: another process does it, or has done it.
 */
export type Reconciled =
  | { readonly kind: 'continued'; readonly groups: number; readonly survivors: number; readonly ms: number }
  | { readonly kind: 'replaced'; readonly reason: string }
  | { readonly kind: 'left' };

/** Processes that were alive when the database went away confirm within seconds that they miss no row. */
const LIVE_WITHIN_MS = 10_000;
const CONFIRM_LIMIT_MS = 5_000;
const LEASE_EVERY_MS = 2_000;
const CONFIRM_POLL_MS = 200;

/**
 * The server is another incarnation than the one that was verified: closes all lanes of the last version, so that nothing can
 * follow, and compares every group that was not settled with its rows. Opens the database by itself only if it is the same
 * one, nothing is missing, and Temporal has not lost its own past. Throws when PostgreSQL or Temporal does not answer: then
 * nothing is decided.
 */
export async function reconcile(
  dependencies: ReconcileDependencies,
  { version, incarnation, live, verifiedAgeMs }: Verification,
): Promise<Reconciled> {
  const { pool, runs } = dependencies;
  const sinceMs = performance.now();
  if (!(await lease(dependencies, version, live))) return { kind: 'left' };
  const replaced = async (reason: string): Promise<Reconciled> => {
    const isMine = await call(pool, 'SELECT close_database($1, $2, $3) AS done', [version, live, reason]);
    return isMine ? { kind: 'replaced', reason } : { kind: 'left' };
  };
  if (!isSameDatabase(incarnation, live)) return replaced('It is another database: a restore, or another cluster');

  const { awaitsSurvivors = true } = dependencies;
  const rows = awaitsSurvivors ? await confirmedLanes(pool, version, live) : await readLaneRows(pool, version, live);
  const doubt = await doubtTemporal(dependencies, version, rows, verifiedAgeMs);
  if (doubt !== undefined) return replaced(doubt);

  let groups = 0;
  let isFirst = true;
  let leasedAtMs = performance.now();
  const poison = { version, incarnation: live, because: 'verification' } as const;
  for await (const found of readLanes(runs, version, rows, poison)) {
    if (performance.now() - leasedAtMs > LEASE_EVERY_MS) {
      if (!(await lease(dependencies, version, live))) return { kind: 'left' };
      leasedAtMs = performance.now();
    }
    if (found.kind === 'lost version') {
      return replaced('Another incarnation of this server had gone on from this state, and its writes are not in it');
    }
    if (found.kind === 'unreadable') return replaced(`The input of ${found.workflowId} cannot be read`);
    if (found.kind === 'earlier verification') {
      isFirst = false;
      continue;
    }
    groups += 1;
    // One that has not completed may not have begun: what it does now is refused, and goes on in runs of its own.
    if (found.group.state !== 'completed') continue;
    const missing = await missingWrites(pool, live, found.group);
    if (missing.length > 0) return replaced(`${missing.length} writes of ${found.group.workflowId} have no row`);
  }
  const alive = aliveOf(rows);
  const survivors = alive.filter(({ confirmed }) => confirmed === live).length;
  const isDone = await call(pool, 'SELECT continue_verification($1, $2, $3, $4) AS done', [
    version,
    live,
    nextVersion(poison),
    // Otherwise a key may have been written that nobody here has seen: by a process that is gone, or in a life between.
    survivors > 0 && survivors === alive.length && isFirst,
  ]);
  return isDone ? { kind: 'continued', groups, survivors, ms: performance.now() - sinceMs } : { kind: 'left' };
}

/** The same cluster and database; it was started again. */
function isSameDatabase(before: string, now: string): boolean {
  const [cluster, , database] = before.split('/');
  const [clusterNow, , databaseNow] = now.split('/');
  return cluster === clusterNow && database === databaseNow;
}

export function lease({ pool, process }: ReconcileDependencies, version: string, live: string): Promise<boolean> {
  return call(pool, 'SELECT lease_reconcile($1, $2, $3) AS done', [version, live, process]);
}

/** Waits until each process that was alive has confirmed, or is taken for gone. */
async function confirmedLanes(pool: Pool, version: string, live: string): Promise<readonly LaneRow[]> {
  const deadline = performance.now() + CONFIRM_LIMIT_MS;
  for (;;) {
    const rows = await readLaneRows(pool, version, live);
    const waiting = aliveOf(rows).filter(({ confirmed }) => confirmed !== live);
    if (waiting.length === 0 || performance.now() > deadline) return rows;
    await sleep(CONFIRM_POLL_MS);
  }
}

/** The lanes whose processes were there when the database went away. */
function aliveOf(rows: readonly LaneRow[]): readonly LaneRow[] {
  const newestMs = rows.reduce(
    (least, { heartbeatAgeMs }) => Math.min(least, heartbeatAgeMs),
    Number.POSITIVE_INFINITY,
  );
  return rows.filter(({ heartbeatAgeMs, retired }) => !retired && heartbeatAgeMs - newestMs < LIVE_WITHIN_MS);
}

/** Why Temporal cannot tell what is missing; undefined where it can. It may have been reset, or restored to the past. */
async function doubtTemporal(
  { runs, retentionMs }: ReconcileDependencies,
  version: string,
  rows: readonly LaneRow[],
  verifiedAgeMs: number,
): Promise<string | undefined> {
  const keptMs = (await retentionMs()) - DAY_MS;
  if (Math.min(verifiedAgeMs, ...rows.map(({ heartbeatAgeMs }) => heartbeatAgeMs)) >= keptMs) {
    return 'The last sign of a process in this database is of a time that Temporal may have forgotten';
  }
  const newest = rows.reduce<LaneRow | undefined>(
    (best, row) => (best === undefined || row.registeredAgeMs < best.registeredAgeMs ? row : best),
    undefined,
  );
  for (const row of rows) {
    if (row.retired && row !== newest) continue;
    if (!row.retired && row.settledAgeMs >= keptMs) {
      return `The groups of lane ${row.lane} go back to a time that Temporal may have forgotten`;
    }
    const hasFreshGroup = row.settled > 0 && row.settledStartedAgeMs < keptMs;
    if (!hasFreshGroup && row.registeredAgeMs >= keptMs) {
      return `Nothing of lane ${row.lane} is young enough to be found in Temporal`;
    }
    const workflowId = hasFreshGroup
      ? groupWorkflowId(version, row.lane, row.settled)
      : laneWorkflowId(version, row.lane);
    if ((await runs.read(workflowId)) === undefined) {
      return `Temporal knows nothing of ${workflowId}: it was reset, or restored to an earlier time`;
    }
  }
  return undefined;
}
