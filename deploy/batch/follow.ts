import type { BatchResource } from '../../api/batches/resource.ts';
import { pollPause } from '../client/src/pause.ts';
import type { BatchApi } from './batch-api.ts';

export type Following = {
  /** For how long one request waits, in seconds: so old is what is shown. */
  readonly waitS: number;
  readonly signal: AbortSignal;
  onBatch(batch: BatchResource): void;
};

/** Waits until a batch is over or paused. Undefined if it is not there, any longer: a restore may have lost it. */
export async function follow(
  api: Pick<BatchApi, 'find'>,
  batchKey: string,
  { waitS, signal, onBatch }: Following,
): Promise<BatchResource | undefined> {
  for (;;) {
    const pause = pollPause();
    const batch = await api.find(batchKey, waitS);
    if (batch === undefined) return undefined;
    onBatch(batch);
    if (isOver(batch) || batch.state === 'paused') return batch;
    await pause(signal);
    if (signal.aborted) throw signal.reason;
  }
}

export function isOver({ state }: BatchResource): boolean {
  return state === 'completed' || state === 'cancelled';
}
