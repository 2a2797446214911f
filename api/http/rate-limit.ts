import type { Caller } from './auth.ts';
import { ApiProblem } from './problems.ts';

/** A token bucket per company and process: `perSecond` tokens are added each second, up to `burst`. */
export type RateLimit = {
  /** Takes a token; false when there is none. */
  take(companyId: string): boolean;
};

/** At this many buckets, those that are full again are dropped: a full bucket carries no information. */
const MAX_BUCKETS = 10_000;

export function createRateLimit(perSecond: number, burst: number, now = () => performance.now()): RateLimit {
  const buckets = new Map<string, { tokens: number; at: number }>();
  const refilled = (bucket: { tokens: number; at: number }, at: number) =>
    Math.min(burst, bucket.tokens + ((at - bucket.at) / 1000) * perSecond);
  return {
    take(companyId) {
      const at = now();
      const known = buckets.get(companyId);
      // Stryker disable next-line all: only the memory of the process tells whether and when full buckets are dropped.
      if (known === undefined && buckets.size >= MAX_BUCKETS) {
        for (const [id, bucket] of buckets) if (refilled(bucket, at) >= burst) buckets.delete(id);
      }
      const tokens = known === undefined ? burst : refilled(known, at);
      if (tokens < 1) return false;
      buckets.set(companyId, { tokens: tokens - 1, at });
      return true;
    },
  };
}

/** Takes a token of the caller's company, or throws `rate_limited`. */
export function enforceRateLimit(
  limit: RateLimit,
  { companyId }: Pick<Caller, 'companyId'>,
  detail = 'Send the request again after the pause in Retry-After.',
): void {
  if (!limit.take(companyId)) throw new ApiProblem('rate_limited', { detail });
}
