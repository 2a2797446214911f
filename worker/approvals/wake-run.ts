import { type Client, WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/client';
import { workflowIdOf } from '../../activities/identity.ts';
import { type Fence, requireTrust } from '../../activities/write/fence.ts';
import { APPROVAL_DECIDED, WRITE_WORKFLOW_TYPE, type WriteArguments } from '../../workflows/messages.ts';
import { writeStartOptions } from '../../workflows/write-start.ts';
import { callWithin } from '../call-within.ts';
import { REQUEST_TIMEOUT_MS } from '../temporal-runs.ts';
import { asUnavailable } from '../temporal-unavailable.ts';

export type WakeOptions = {
  readonly client: Client;
  readonly taskQueue: string;
  readonly fence: Pick<Fence, 'trust'>;
  summarize(args: WriteArguments): string;
};

/**
 * Tells the run of a write that waits for its approval that there is something to look at. Where none is open, because Temporal
 * has lost it or somebody has ended it, one is started, unless the last one has completed: then the row says what became of it.
 * Throws TemporalUnavailable.
 */
export async function wakeRun(options: WakeOptions, args: WriteArguments): Promise<void> {
  const { client } = options;
  const { connection, workflow } = client;
  const workflowId = workflowIdOf(args.companyId, args.key);
  try {
    await callWithin(connection, REQUEST_TIMEOUT_MS, () => workflow.getHandle(workflowId).signal(APPROVAL_DECIDED));
    return;
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw asUnavailable(error);
  }
  await startRun(options, args);
}

/** Starts the run of a write, unless its key has one that is open or has completed. Throws TemporalUnavailable. */
export async function startRun(options: WakeOptions, args: WriteArguments): Promise<void> {
  const { client, taskQueue, fence, summarize } = options;
  const { connection, workflow } = client;
  const workflowId = workflowIdOf(args.companyId, args.key);
  const stamped = { ...args, stamp: requireTrust(fence) };
  try {
    await callWithin(connection, REQUEST_TIMEOUT_MS, () =>
      workflow.start(WRITE_WORKFLOW_TYPE, {
        ...writeStartOptions({ args: stamped, workflowId, summary: summarize(args) }),
        taskQueue,
        workflowIdConflictPolicy: 'FAIL',
      }),
    );
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw asUnavailable(error);
  }
}
