import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { readSilentBatches, tidyBatches } from '../../activities/batches/batch-store.ts';
import type { Pool } from '../../activities/database.ts';
import type { BatchStarts } from './batch-starts.ts';

const POLL_MS = 2_000;
const BATCHES_A_RUN = 50;
const TIDY_EVERY_MS = 10 * 60_000;
const TIDIED_AT_ONCE = 100;

/**
 * Starts and wakes the workflows of batches of which nothing was heard, and removes what is kept no longer, until the signal.
 * `pool`: of the relay's role.
 */
export async function keepBatches(options: {
  readonly pool: Pool;
  readonly starts: BatchStarts;
  readonly logger: Logger;
  /** For how long the bytes of uploads are kept after the end of their batch, in milliseconds. */
  readonly uploadsKeptMs: number;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { pool, starts, logger, uploadsKeptMs, signal } = options;
  let tidiedAtMs = Number.NEGATIVE_INFINITY;

  async function wakeSilent(): Promise<void> {
    for (const batch of await readSilentBatches(pool, BATCHES_A_RUN)) {
      if (signal.aborted) return;
      const { company_id: companyId, batch_key: batchKey, operation } = batch;
      await starts.wake({ companyId, batchKey, operation }).catch((error: unknown) => {
        logger.warn(
          { err: error, batchId: batch.id },
          'The workflow of a batch could not be started; it is tried again',
        );
      });
    }
  }

  async function tidy(): Promise<void> {
    if (performance.now() - tidiedAtMs < TIDY_EVERY_MS) return;
    tidiedAtMs = performance.now();
    while (!signal.aborted && (await tidyBatches(pool, uploadsKeptMs, TIDIED_AT_ONCE)) > 0);
  }

  while (!signal.aborted) {
    for (const step of [wakeSilent, tidy]) {
      await step().catch((error: unknown) => {
        logger.warn({ err: error }, 'Batches could not be looked after; it is tried again');
      });
    }
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
}
