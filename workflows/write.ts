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
 * One write of any operation: attempts the transaction until it has an outcome, then returns the outcome.
 *
 * Fails only because of a bug in the operation or after 24 hours of failed attempts. The same key may then be started again,
 * and the row in Postgres decides. Cancelling the run does not stop the transaction: a write is cancelled by its key.
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
  // Success is the normal case and sets no attribute, which saves one visibility record per write.
  if (result.outcome !== 'succeeded') {
    upsertSearchAttributes([keyword('Outcome', result.outcome)]);
  }
  return result;
}
