import { Context } from '@temporalio/activity';
import { type BatchRow, countsOf, rateOf } from '../../activities/batches/batch-row.ts';
import { claimChunk } from '../../activities/batches/batch-store.ts';
import { crashPoint } from '../../activities/crash-points.ts';
import { isNotTrusted } from '../../activities/failures.ts';
import { requireTrust } from '../../activities/write/fence.ts';
import type { BatchActivities, BatchProgress } from '../../workflows/batch-messages.ts';
import { type ChunkDependencies, writeChunk } from './write-chunk.ts';

export type BatchActivityDependencies = ChunkDependencies & {
  /** Called for a chunk that is done. */
  onChunk(durationMs: number, done: { readonly batchId: string; readonly chunk: number; readonly rows: number }): void;
  /** Called for an attempt that is made again. */
  onFailedChunk(error: unknown, batchId: string): void;
};

/** A worker that says nothing for three times as long is gone: its chunks are written by others. */
const HEARTBEAT_MS = 5_000;

/** The activity of the workflow of a batch. */
export function createBatchActivities(dependencies: BatchActivityDependencies): BatchActivities {
  const { fence, database } = dependencies;
  return {
    async advanceBatch({ companyId, batchId, loop }) {
      const context = Context.current();
      const { info, cancellationSignal } = context;
      const heartbeat = setInterval(() => context.heartbeat(), HEARTBEAT_MS);
      const claimer = { runId: info.workflowExecution?.runId ?? '', loop };
      const sinceMs = performance.now();
      try {
        const { version } = requireTrust(fence);
        const claimed = await claimChunk(database.writes, { companyId, batchId }, claimer, version);
        if (claimed.kind !== 'chunk') {
          return { kind: claimed.kind, chunk: null, progress: progressOf(claimed.batch) };
        }
        crashPoint('chunk: claimed');
        const standing = await writeChunk(dependencies, { ...claimed, version }, cancellationSignal);
        const { chunk, row_count: rows } = claimed.chunk;
        dependencies.onChunk(performance.now() - sinceMs, { batchId, chunk, rows });
        return { kind: 'written', chunk, progress: progressOf(standing) };
      } catch (error) {
        if (isNotTrusted(error)) fence.notice();
        dependencies.onFailedChunk(error, batchId);
        throw error;
      } finally {
        clearInterval(heartbeat);
      }
    },
  };
}

function progressOf(batch: BatchRow | undefined): BatchProgress | null {
  if (batch === undefined) return null;
  return {
    operation: batch.operation,
    rows: batch.row_count ?? 0,
    chunks: batch.chunk_count ?? 0,
    // biome-ignore lint/plugin: it is compared with a point in time of the database.
    rowsPerSecond: rateOf(batch, Date.now()),
    counts: countsOf(batch),
  };
}
