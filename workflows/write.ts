import {
  ActivityCancellationType,
  CancellationScope,
  proxyLocalActivities,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { RunResult, WriteActivities, WriteArguments } from './messages.ts';
import { keyword } from './search-attributes.ts';

/**
 * One financial write, for every operation: attempt the transaction until it has an outcome, then say which.
 *
 * Fails only by a bug in the operation or after 24 hours of failed attempts; then the same key may be started again,
 * and the row in Postgres decides. Cancelling the run does not stop a transaction: a write is cancelled by its key.
 */
export async function write(args: WriteArguments): Promise<RunResult> {
  const { policy } = args;
  const { runOperation } = proxyLocalActivities<Pick<WriteActivities, 'runOperation'>>({
    startToCloseTimeout: policy.startToCloseMs,
    scheduleToCloseTimeout: policy.scheduleToCloseMs,
    localRetryThreshold: policy.localRetryThresholdMs,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: {
      initialInterval: policy.initialIntervalMs,
      backoffCoefficient: policy.backoffCoefficient,
      maximumInterval: policy.maximumIntervalMs,
      ...(policy.maximumAttempts === undefined ? {} : { maximumAttempts: policy.maximumAttempts }),
    },
  });
  const facts = { requestedAt: workflowInfo().startTime.toISOString() };
  const result = await CancellationScope.nonCancellable(() => runOperation(args, facts));
  // Success is the rule and needs no attribute of its own: one visibility record less for each write.
  if (result.outcome !== 'succeeded') {
    upsertSearchAttributes([keyword('Outcome', result.outcome)]);
  }
  return result;
}
