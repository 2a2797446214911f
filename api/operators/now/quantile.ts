import type { Buckets } from './reading.ts';

/**
 * The value that a share of the observations does not exceed, as Prometheus estimates it (`histogram_quantile`): evenly spread
 * within a bucket, and no more than the last finite bound. Null where nothing was observed.
 */
export function quantile(share: number, buckets: Buckets): number | null {
  const sorted = [...buckets].toSorted(([a], [b]) => a - b);
  const total = sorted.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  const rank = share * total;
  const at = sorted.findIndex(([, count]) => count >= rank);
  const [bound, count] = sorted[at] ?? [Number.POSITIVE_INFINITY, total];
  const [lower, below] = at > 0 ? (sorted[at - 1] as readonly [number, number]) : [0, 0];
  if (!Number.isFinite(bound)) return sorted.findLast(([one]) => Number.isFinite(one))?.[0] ?? null;
  return count === below ? lower : lower + ((bound - lower) * (rank - below)) / (count - below);
}
