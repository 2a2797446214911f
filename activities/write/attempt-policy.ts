import type { AttemptPolicy } from '../../workflows/messages.ts';
import { DAY_MS } from '../durations.ts';
import type { Operation } from '../operation.ts';

/** The retry policy of new runs. Open runs keep the policy that they were started with. */
export const ATTEMPT_POLICY: AttemptPolicy = {
  startToCloseMs: 15_000,
  scheduleToCloseMs: DAY_MS,
  initialIntervalMs: 100,
  backoffCoefficient: 2,
  maximumIntervalMs: 30_000,
  // A longer pause is a timer of Temporal's: a run that waits keeps no slot of the worker from the other companies.
  localRetryThresholdMs: 100,
};

export function attemptPolicyOf({ attemptLimitMs = ATTEMPT_POLICY.startToCloseMs }: Operation): AttemptPolicy {
  return { ...ATTEMPT_POLICY, startToCloseMs: attemptLimitMs };
}
