import { setTimeout as sleep } from 'node:timers/promises';
import type { BatchRow, ChunkRow, RowOutcome } from '../../activities/batches/batch-row.ts';
import { crashPoint } from '../../activities/crash-points.ts';
import type { Database } from '../../activities/database.ts';
import type { Fence } from '../../activities/write/fence.ts';
import { createFindings } from './chunk-findings.ts';
import { createOwnRuns, type OwnRunDependencies } from './own-runs.ts';
import { readPendingRows } from './pending-rows.ts';
import { noteFailed, noteOutcomes, noteUnknown, type OutcomeDependencies } from './row-outcomes.ts';
import { type SendDependencies, sendRows } from './send-rows.ts';

export type ChunkDependencies = Omit<OutcomeDependencies, 'pool'> &
  SendDependencies &
  OwnRunDependencies & {
    readonly database: Database;
    readonly fence: Fence;
    /** Called for rows once they are recorded. `operation`: null where the row names none that there is. */
    onRows(operation: string | null, outcome: RowOutcome, count: number): void;
  };

/** Rows that have met a lock, or an error that may pass, are sent again after a pause; in milliseconds. */
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 30_000;
/** A row that has no outcome after so long is told as failed. It may be tried again later. */
const GIVE_UP_AFTER_MS = 10 * 60_000;
/** A group of fewer costs as much as one of so many. */
const SMALLEST_GROUP = 25;

/** `version`: of the database in which it was claimed; what is found there is recorded there, or not at all. */
export type ClaimedChunk = { readonly batch: BatchRow; readonly chunk: ChunkRow; readonly version: string };

/**
 * Has each row of a chunk written that is pending, and records what has become of it. A row whose key has an outcome is a replay
 * or a mismatch, as it would be alone; the others travel as one group. What has no outcome then is sent again, in halves while
 * none of it has, what cannot succeed fails alone, and what needs an approval gets a run of its own, which waits for it. Throws when Temporal or the database does not answer: another attempt goes
 * on from what was recorded.
 */
export async function writeChunk(
  dependencies: ChunkDependencies,
  { batch, chunk, version }: ClaimedChunk,
  signal: AbortSignal,
): Promise<BatchRow> {
  const { database, operations, fence } = dependencies;
  const reading = { pool: database.reads, operations, fence };
  const findings = createFindings({ pool: database.writes, batch, chunk, onRows: dependencies.onRows });
  /** By position: a bug has ended their attempts, unless another one has made them meanwhile. */
  const bugs = new Set<number>();
  const ownRuns = createOwnRuns(dependencies, findings);
  const sinceMs = performance.now();
  let size = chunk.row_count;
  let pauseMs = FIRST_PAUSE_MS;
  let pending = await readPendingRows(reading, batch, chunk, findings);
  for (let round = 1; ; round += 1) {
    const isLast = performance.now() - sinceMs > GIVE_UP_AFTER_MS;
    const before = pending.length;
    const open = await noteOutcomes(reading, batch, pending, { findings, bugs, isLast });
    crashPoint('chunk: outcomes found');
    pending = open.filter((row) => !isLast && !bugs.has(row.position));
    for (const row of open) {
      if (bugs.has(row.position)) noteFailed(findings, row);
      else if (isLast) noteUnknown(findings, row);
    }
    // Also after each round: the counts go on while some rows wait.
    if (pending.length === 0 || round > 1) {
      const standing = await findings.record(version);
      crashPoint('chunk: recorded');
      if (pending.length === 0) return standing;
      if (pending.length === before) size = Math.max(SMALLEST_GROUP, Math.ceil(size / 2));
      await sleep(pauseMs, undefined, { signal });
      pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
    }
    const toSend = pending.filter((row) => !ownRuns.has(row));
    await ownRuns.startAgain(pending, round, signal);
    for await (const { rows, left } of sendRows(dependencies, toSend, { size, signal })) {
      for (const row of rows) {
        const failure = left.get(row);
        if (failure === undefined) findings.vouch(row.position);
        else if (failure === 'bug') bugs.add(row.position);
      }
      const needing = rows.filter((row) => left.get(row) === 'approval');
      await ownRuns.start(needing, round, signal);
      if (needing.length > 0) crashPoint('chunk: approval asked for');
    }
  }
}
