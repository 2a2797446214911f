import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  type WorkflowStartOptions,
} from '@temporalio/client';
import { workflowIdOf } from '../../activities/identity.ts';
import type { Fence } from '../../activities/write/fence.ts';
import { APPROVAL_DECIDED, WRITE_WORKFLOW_TYPE, type WriteArguments } from '../../workflows/messages.ts';
import { writeStartOptions } from '../../workflows/write-start.ts';
import { callWithin } from '../call-within.ts';
import { REQUEST_TIMEOUT_MS } from '../temporal-runs.ts';
import { asUnavailable } from '../temporal-unavailable.ts';

export type WakeOptions = {
  readonly client: Client;
  readonly taskQueue: string;
  /** Where releases are named: the run is not to be pinned to the one that starts it. */
  readonly versioningOverride?: WorkflowStartOptions['versioningOverride'];
  readonly fence: Pick<Fence, 'readTrust'>;
  summarize(args: WriteArguments): string;
};

/**
 * Tells the run of a write that waits for its approval that there is something to look at, and starts one where none is open.
 * Throws TemporalUnavailable.
 */
export async function wakeRun(options: WakeOptions, args: WriteArguments): Promise<void> {
  const isOpen = await signalRun(options.client, workflowIdOf(args.companyId, args.key));
  if (!isOpen) await startRun(options, args);
}

/** False where no run of that name is open. Throws TemporalUnavailable. */
export async function signalRun({ workflow, connection }: Client, workflowId: string): Promise<boolean> {
  try {
    await callWithin(connection, REQUEST_TIMEOUT_MS, () => workflow.getHandle(workflowId).signal(APPROVAL_DECIDED));
    return true;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw asUnavailable(error);
  }
}

/**
 * Starts a run of a write that waits, whose last one Temporal has lost, or somebody has ended. One that has completed has told
 * what became of the write, and no other follows it. Throws TemporalUnavailable.
 */
export async function startRun(
  { client: { workflow, connection }, fence, summarize, ...target }: WakeOptions,
  args: WriteArguments,
): Promise<void> {
  const { taskQueue, versioningOverride } = target;
  const stamped = { ...args, stamp: await fence.readTrust() };
  try {
    await callWithin(connection, REQUEST_TIMEOUT_MS, () =>
      workflow.start(WRITE_WORKFLOW_TYPE, {
        ...writeStartOptions({
          args: stamped,
          workflowId: workflowIdOf(args.companyId, args.key),
          summary: summarize(args),
        }),
        taskQueue,
        ...(versioningOverride === undefined ? {} : { versioningOverride }),
        workflowIdConflictPolicy: 'FAIL',
      }),
    );
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw asUnavailable(error);
  }
}
