import { TemporalFailure, WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ActivityCancellationType,
  CancellationScope,
  proxyLocalActivities,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import { type GroupItem, type GroupResult, WRITE_WORKFLOW_TYPE, type WriteActivities } from './messages.ts';
import { childWriteOptions } from './write-start.ts';

/** Items wait for connections and locks; a group that takes longer lets all of its items go on by themselves. */
const GROUP_LIMIT_MS = 60_000;

/**
 * Writes that waited for a start at the same moment, each in a transaction of its own. One attempt an item: whatever gets
 * no outcome in it leaves the group and goes on in its own workflow, where retries and failed runs are at home.
 */
export async function writeGroup(items: readonly GroupItem[]): Promise<GroupResult> {
  return CancellationScope.nonCancellable(async () => {
    const left = await attemptOnce(items);
    return { left: await Promise.all(left.map(async (index) => ({ index, runId: await goOnAlone(items[index]) }))) };
  });
}

async function attemptOnce(items: readonly GroupItem[]): Promise<readonly number[]> {
  const { runGroup } = proxyLocalActivities<Pick<WriteActivities, 'runGroup'>>({
    startToCloseTimeout: GROUP_LIMIT_MS,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { maximumAttempts: 1 },
  });
  try {
    return (await runGroup(items, { requestedAt: workflowInfo().startTime.toISOString() })).left;
  } catch (error) {
    if (!(error instanceof TemporalFailure)) throw error;
    // Which of them committed is not known here; each one's own run meets its row.
    return items.map((_, index) => index);
  }
}

/** Starts the item's own workflow, as the API would have, and waits until Temporal has it. */
async function goOnAlone(item: GroupItem | undefined): Promise<string | null> {
  if (item === undefined) throw new Error('Bug! An item that is not in the group');
  try {
    const child = await startChild(WRITE_WORKFLOW_TYPE, childWriteOptions(item));
    return child.firstExecutionRunId;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return null;
    throw error;
  }
}
