import type { Caller } from './auth.ts';
import { ApiProblem } from './problems.ts';
import type { RateLimit } from './rate-limit.ts';

/** Counts a read against the company's limit for reads and replays, which is separate from its limit for new writes. */
export function limitRead(reads: RateLimit, { companyId }: Caller): void {
  if (!reads.take(companyId))
    throw new ApiProblem('rate_limited', { detail: 'Send the request again after the pause in Retry-After.' });
}
