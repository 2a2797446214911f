import type { Batch } from '../client/src/generated/types.ts';
import { ifKnown } from './known.ts';
import type { Batches } from './session.ts';

export type Following = {
  /** For how long one request waits, in seconds: so old is what is shown. */
  readonly waitS: number;
  readonly signal: AbortSignal;
  onBatch(batch: Batch): void;
};

/** Waits until a batch is over or paused. Undefined if it is not there, any longer: a restore may have lost it. */
export function follow(
  batches: Pick<Batches, 'wait'>,
  batchKey: string,
  { waitS, signal, onBatch }: Following,
): Promise<Batch | undefined> {
  const until = ({ state }: Batch) => state === 'paused';
  return ifKnown(batches.wait(batchKey, { waitS, signal, until, onProgress: onBatch }));
}

/** Not as soon as it is cancelled: what was begun of it is ended. */
export function isOver({ completedAt }: Batch): boolean {
  return completedAt !== null;
}
