import type { BatchSummary } from '../../../client/src/generated/types.ts';
import { numberText, progressOf } from '../batch-words.ts';

/** How far a batch is: a bar, and the numbers in words. */
export function Progress({ batch }: { readonly batch: BatchSummary }) {
  const progress = progressOf(batch);
  if (progress === undefined) return <>no rows yet</>;
  const { done, rows } = progress;
  const words = `${numberText(done)} of ${numberText(rows)} rows`;
  return (
    <span class="progress">
      <progress value={done} max={Math.max(rows, 1)} aria-label={words} />
      <span>{words}</span>
    </span>
  );
}
