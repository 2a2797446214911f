import type { Batch, BatchSummary } from '../../client/src/generated/types.ts';
import type { Tone } from './words.ts';

type Counts = BatchSummary['counts'];

/** What has become of rows, in the order in which it is told. */
export const OUTCOMES: readonly { readonly name: keyof Counts; readonly words: string; readonly tone: Tone }[] = [
  { name: 'succeeded', words: 'written by this batch', tone: 'good' },
  { name: 'replayed', words: 'written before, under the same keys', tone: 'good' },
  { name: 'pendingApproval', words: 'wait for approval', tone: 'wait' },
  { name: 'rejected', words: 'rejected by a rule: nothing was booked', tone: 'bad' },
  { name: 'mismatched', words: 'have a key that belongs to another request: refused', tone: 'bad' },
  { name: 'refused', words: 'refused, without an outcome', tone: 'bad' },
  { name: 'failed', words: 'failed, without an outcome', tone: 'bad' },
  { name: 'cancelled', words: 'never happen: the batch was cancelled', tone: 'none' },
  { name: 'pending', words: 'left to do', tone: 'none' },
];

export const BATCH_STATES: Readonly<Record<BatchSummary['state'], { readonly words: string; readonly tone: Tone }>> = {
  receiving: { words: 'its file has not arrived as a whole', tone: 'wait' },
  queued: { words: 'other batches of the company come first', tone: 'wait' },
  running: { words: 'its rows are being written', tone: 'wait' },
  paused: { words: 'nothing of it is begun until it is resumed', tone: 'wait' },
  cancelled: { words: 'what had been written stays in the books', tone: 'none' },
  completed: { words: 'each row has come to something', tone: 'good' },
};

/** How many rows are done, of how many; undefined until the file is there. */
export function progressOf({
  rows,
  counts,
}: Pick<Batch, 'rows' | 'counts'>): { readonly done: number; readonly rows: number } | undefined {
  return rows === null ? undefined : { done: rows - counts.pending, rows };
}

export function numberText(value: number): string {
  return value.toLocaleString('en');
}

export function rowsText(count: number): string {
  return `${numberText(count)} ${count === 1 ? 'row' : 'rows'}`;
}

export type BatchAction = 'pause' | 'resume' | 'cancel' | 'retry-failed';

/** What can be done with a batch in its state. */
export function actionsOf({
  state,
  counts,
  completedAt,
}: Pick<Batch, 'state' | 'counts' | 'completedAt'>): readonly BatchAction[] {
  switch (state) {
    case 'receiving':
      return ['cancel'];
    case 'queued':
    case 'running':
      return ['pause', 'cancel'];
    case 'paused':
      return ['resume', 'cancel'];
    case 'completed':
      return completedAt !== null && counts.failed + counts.refused > 0 ? ['retry-failed'] : [];
    case 'cancelled':
      return [];
  }
}
