import { type Client, WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import { crashPoint } from '../../activities/crash-points.ts';
import { callWithin } from '../../worker/call-within.ts';
import { GRPC, grpcCode } from '../../worker/grpc.ts';
import { GROUP_WORKFLOW_TYPE, type GroupItem, type GroupResult } from '../../workflows/messages.ts';
import { asUnavailable } from '../http/temporal-unavailable.ts';
import { LONG_POLL_TIMEOUT_MS, REQUEST_TIMEOUT_MS, type RunTarget } from './write-runs.ts';

/** What this process asks Temporal about the workflow runs of groups. */
export type GroupRuns = {
  /** Throws TemporalUnavailable. */
  start(workflowId: string, items: readonly GroupItem[]): Promise<{ readonly runId: string }>;
  /** Waits a minute for the group to close. Throws TemporalUnavailable. */
  waitUntilClosed(workflowId: string, runId: string): Promise<GroupEnd | 'still open'>;
};

/** Which items left the group, and the runs in which they continue. `unproven`: the group closed without a result. */
export type GroupEnd = GroupResult | 'unproven';

/** How soon another worker takes over a group whose process was killed. */
const TASK_TIMEOUT_MS = 2_000;
/** Temporal limits details to 20 KB. Keys and operations are ASCII. */
const MAX_DETAILS_BYTES = 16_000;

export function createGroupRuns({ workflow, connection }: Client, target: RunTarget): GroupRuns {
  return {
    async start(workflowId, items) {
      crashPoint('group: before its start');
      const companies = new Set(items.map(({ args }) => args.companyId)).size;
      try {
        const handle = await callWithin(connection, REQUEST_TIMEOUT_MS, () =>
          workflow.start(GROUP_WORKFLOW_TYPE, {
            workflowId,
            ...target,
            args: [items],
            requestEagerStart: true,
            workflowTaskTimeout: TASK_TIMEOUT_MS,
            staticSummary: `${items.length} writes of ${companies === 1 ? 'one company' : `${companies} companies`}`,
            staticDetails: details(items),
          }),
        );
        crashPoint('group: taken');
        return { runId: handle.firstExecutionRunId };
      } catch (error) {
        throw asUnavailable(error);
      }
    },

    async waitUntilClosed(workflowId, runId) {
      const handle = workflow.getHandle<() => Promise<GroupResult>>(workflowId, runId, { followRuns: false });
      try {
        return await callWithin(connection, LONG_POLL_TIMEOUT_MS, () => handle.result());
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
