import type { AttemptPolicy } from '../../workflows/messages.ts';

/** How a write's transaction is attempted, unless its run was started by a release with another policy. */
export const ATTEMPT_POLICY: AttemptPolicy = {
  startToCloseMs: 15_000,
  scheduleToCloseMs: 24 * 60 * 60 * 1000,
  initialIntervalMs: 100,
  backoffCoefficient: 2,
  maximumIntervalMs: 30_000,
  localRetryThresholdMs: 5_000,
};
