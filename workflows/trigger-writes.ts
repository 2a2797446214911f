import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { executeChild, proxyLocalActivities } from '@temporalio/workflow';
import type { EventActivities, StepWrite, Trigger } from './event-messages.ts';
import { type RunResult, WRITE_WORKFLOW_TYPE } from './messages.ts';
import { childWriteOptions } from './write-start.ts';

const RETRY = { initialInterval: '1 second', maximumInterval: '30 seconds' } as const;

const { prepareWrite, readOutcome } = proxyLocalActivities<Pick<EventActivities, 'prepareWrite' | 'readOutcome'>>({
  startToCloseTimeout: '15 seconds',
  scheduleToCloseTimeout: '24 hours',
  retry: RETRY,
});

/**
 * Makes one write of a registered workflow through the ordinary path: in its own workflow, under its own key, as the member
 * who triggered it. A repetition (a reset, a second worker) uses the same key and gets the same outcome.
 */
export async function writeStep(trigger: Trigger, userId: string, write: StepWrite): Promise<RunResult> {
  const prepared = await prepareWrite(trigger, userId, write);
  try {
    return await executeChild(WRITE_WORKFLOW_TYPE, {
      ...childWriteOptions(prepared),
      taskQueue: trigger.writeTaskQueue,
    });
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return readOutcome(prepared.args);
    throw error;
  }
}
