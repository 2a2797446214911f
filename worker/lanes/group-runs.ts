import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { crashPoint } from '../../activities/crash-points.ts';
import {
  type ChunkOptions,
  GROUP_WORKFLOW_TYPE,
  type GroupItem,
  type GroupResult,
  isGroupResult,
  LANE_WORKFLOW_TYPE,
  POISON_WORKFLOW_TYPE,
  type Trust,
} from '../../workflows/messages.ts';
import { callWithin } from '../call-within.ts';
import { GRPC, grpcCode } from '../grpc.ts';
import { LONG_POLL_TIMEOUT_MS, REQUEST_TIMEOUT_MS, type RunState, type RunTarget, stateOf } from '../temporal-runs.ts';
import { asUnavailable } from '../temporal-unavailable.ts';

/** What this process asks Temporal about lanes and the workflow runs of groups. Each throws TemporalUnavailable. */
export type GroupRuns = {
  /** `exists`: there is, or was, a run by that name. */
  register(workflowId: string): Promise<'registered' | 'exists'>;
  /** `exists`: there is, or was, a run by that name. `chunk`: the items are a chunk of a batch. */
  start(
    workflowId: string,
    items: readonly GroupItem[],
    stamp: Trust,
    chunk?: ChunkOptions,
  ): Promise<{ readonly runId: string } | 'exists'>;
  /** The run by that name, undefined if there is none. */
  describe(workflowId: string): Promise<NamedRun | undefined>;
  /** Waits a minute for the group to close. Throws TemporalUnavailable. */
  waitUntilClosed(workflowId: string, runId: string): Promise<GroupEnd | 'still open'>;
};

/** Which items left the group, and the runs in which they continue. `unproven`: the group closed without a result. */
export type GroupEnd = GroupResult | 'unproven';

/** `isOwn`: this process has started it. `closes`: the lanes of this version were closed by a verification. */
type NamedRun = {
  readonly type: string;
  readonly runId: string;
  readonly isOwn: boolean;
  readonly closes: boolean;
  readonly state: RunState;
};

/** How soon another worker takes over a group whose process was killed. */
const TASK_TIMEOUT_MS = 2_000;
/** Temporal limits details to 20 KB. Keys and operations are ASCII. */
const MAX_DETAILS_BYTES = 16_000;

export function createGroupRuns({ workflow, connection }: Client, target: RunTarget, process: string): GroupRuns {
  // Each name is used once: a run that has closed keeps it, too.
  const once = {
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
    workflowIdConflictPolicy: 'FAIL',
    memo: { process },
  } as const;
  return {
    async register(workflowId) {
      try {
        await callWithin(connection, REQUEST_TIMEOUT_MS, () =>
          workflow.start(LANE_WORKFLOW_TYPE, {
            workflowId,
            ...target,
            ...once,
            args: [{ process }],
            staticSummary: `Groups of ${process}`,
          }),
        );
        return 'registered';
      } catch (error) {
        if (error instanceof WorkflowExecutionAlreadyStartedError) return 'exists';
        throw asUnavailable(error);
      }
    },

    async describe(workflowId) {
      try {
        const { type, runId, memo, status } = await callWithin(connection, REQUEST_TIMEOUT_MS, () =>
          workflow.getHandle(workflowId).describe(),
        );
        const closes = type === POISON_WORKFLOW_TYPE && memo?.['because'] === 'verification';
        return { type, runId, isOwn: memo?.['process'] === process, closes, state: stateOf(status.name) };
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return undefined;
        throw asUnavailable(error);
      }
    },

    async start(workflowId, items, stamp, chunk) {
      crashPoint('group: before its start');
      const companies = new Set(items.map(({ args }) => args.companyId)).size;
      try {
        const handle = await callWithin(connection, REQUEST_TIMEOUT_MS, () =>
          workflow.start(GROUP_WORKFLOW_TYPE, {
            workflowId,
            ...target,
            ...once,
            args: chunk === undefined ? [items, stamp] : [items, stamp, chunk],
            requestEagerStart: true,
            workflowTaskTimeout: TASK_TIMEOUT_MS,
            staticSummary: `${items.length} writes of ${companies === 1 ? 'one company' : `${companies} companies`}`,
            staticDetails: details(items),
          }),
        );
        crashPoint('group: taken');
        return { runId: handle.firstExecutionRunId };
      } catch (error) {
        if (error instanceof WorkflowExecutionAlreadyStartedError) return 'exists';
        throw asUnavailable(error);
      }
    },

    async waitUntilClosed(workflowId, runId) {
      const handle = workflow.getHandle<() => Promise<GroupResult>>(workflowId, runId, { followRuns: false });
      try {
        const result = await callWithin(connection, LONG_POLL_TIMEOUT_MS, () => handle.result());
        return isGroupResult(result) ? result : 'unproven';
      } catch (error) {
        if (error instanceof WorkflowFailedError || error instanceof WorkflowNotFoundError) return 'unproven';
        if (grpcCode(error) === GRPC.deadlineExceeded) return 'still open';
        throw asUnavailable(error);
      }
    },
  };
}

/** What the Temporal UI shows of a group: the companies, keys and operations of its writes. */
function details(items: readonly GroupItem[]): string {
  const lines = items.map(({ args }) => `- ${args.companyId} \`${args.key}\` ${args.operation}`);
  let kept = lines.length;
  let bytes = lines.reduce((sum, line) => sum + line.length + 1, 0);
  while (bytes > MAX_DETAILS_BYTES) {
    kept -= 1;
    bytes -= (lines[kept]?.length ?? 0) + 1;
  }
  const rest = kept < lines.length ? [`- and ${lines.length - kept} more`] : [];
  return [...lines.slice(0, kept), ...rest].join('\n');
}
