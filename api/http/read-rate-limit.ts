import type { Caller } from './auth.ts';
import { ApiProblem } from './problems.ts';
import type { RateLimit } from './rate-limit.ts';

/** Counts a read against the company's limit, which is apart from that of its writes. */
export function limitRead(reads: RateLimit, { companyId }: Caller): void {
  if (!reads.take(companyId)) throw new ApiProblem('rate_limited', { detail: 'Send it again after Retry-After.' });
}
