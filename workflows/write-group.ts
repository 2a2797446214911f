import {
  ActivityFailure,
  ApplicationFailure,
  TemporalFailure,
  WorkflowExecutionAlreadyStartedError,
} from '@temporalio/common';
import {
  ActivityCancellationType,
  CancellationScope,
  proxyLocalActivities,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import {
  type ChunkOptions,
  type GroupAttempt,
  type GroupItem,
  type GroupResult,
  type Trust,
  WRITE_WORKFLOW_TYPE,
  type WriteActivities,
} from './messages.ts';
import { RUN_REFUSED } from './refused.ts';
import { childWriteOptions } from './write-start.ts';

/** Items wait for connections and locks. After this time all items leave the group and continue in their own workflows. */
const GROUP_LIMIT_MS = 60_000;

/**
 * Writes that waited for a start at the same moment, each in a transaction of its own. An item gets one attempt; without an
 * outcome it leaves the group and continues in its own workflow, which handles retries and failed runs. An item of a `chunk` does
 * not: whoever has started the group is told of it, and why.
 */
export async function writeGroup(
  items: readonly GroupItem[],
  stamp?: Trust,
  chunk?: ChunkOptions,
): Promise<GroupResult> {
  return CancellationScope.nonCancellable(async () => {
    const { left, bugs = [], approvals = [] } = await attemptOnce(items, stamp, chunk);
    if (chunk !== undefined) {
      return {
        left: left.map((index) => ({
          index,
          runId: null,
          failure: bugs.includes(index) ? 'bug' : approvals.includes(index) ? 'approval' : 'transient',
        })),
      };
    }
    return {
      left: await Promise.all(
        left.map(async (index) => ({ index, runId: await startOwnWorkflow(items[index], stamp) })),
      ),
    };
  });
}

async function attemptOnce(
  items: readonly GroupItem[],
  stamp: Trust | undefined,
  chunk: ChunkOptions | undefined,
): Promise<GroupAttempt> {
  const { runGroup } = proxyLocalActivities<Pick<WriteActivities, 'runGroup'>>({
    startToCloseTimeout: GROUP_LIMIT_MS,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { maximumAttempts: 1 },
  });
  try {
    const facts = { requestedAt: workflowInfo().startTime.toISOString() };
    return await runGroup(items, {
      ...facts,
      ...(stamp === undefined ? {} : { stamp }),
      ...(chunk === undefined ? {} : { chunk }),
    });
  } catch (error) {
    if (!(error instanceof TemporalFailure) || isRefusal(error)) throw error;
    // It is not known which items have committed. Whatever tries one of them again finds the row if there is one.
    return { left: items.map((_, index) => index) };
  }
}

/** None of its items is to be made, in whichever run. */
function isRefusal(error: TemporalFailure): boolean {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  return cause instanceof ApplicationFailure && cause.type === RUN_REFUSED;
}

/** Starts the item's own workflow as the API would, with the group's stamp, and waits until Temporal has accepted it. */
async function startOwnWorkflow(item: GroupItem | undefined, stamp: Trust | undefined): Promise<string | null> {
  if (item === undefined) throw new Error('Bug! The group has no item at this position');
  const args = stamp === undefined ? item.args : { ...item.args, stamp };
  try {
    const child = await startChild(WRITE_WORKFLOW_TYPE, childWriteOptions({ ...item, args }));
    return child.firstExecutionRunId;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return null;
    throw error;
  }
}
