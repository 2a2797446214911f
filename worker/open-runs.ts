import type { Client } from '@temporalio/client';
import { GROUP_WORKFLOW_TYPE, PENDING_APPROVAL, WRITE_WORKFLOW_TYPE } from '../workflows/messages.ts';
import { callWithin } from './call-within.ts';

/** The open runs of writes and groups, whichever process started them, but for those that wait for an approval. */
export type OpenRuns = {
  /** How many have been open for more than a minute. No transaction takes so long: their attempts fail, or no worker has them. */
  readonly overAMinute: number;
  /** The age of the oldest of those; 0 when there are none. */
  readonly oldestSeconds: number;
};

const OVER_MS = 60_000;
/** Temporal lists newest first and offers no other order; among more than this many runs the oldest is not found. */
const LISTED = 1_000;
const REQUEST_TIMEOUT_MS = 5_000;

/** Queries Temporal's visibility, which lags by some seconds; for ages in minutes that does not matter. */
export async function readOpenRuns(
  { workflowService, connection, options }: Client,
  taskQueue: string,
  overMs = OVER_MS,
): Promise<OpenRuns> {
  const types = [WRITE_WORKFLOW_TYPE, GROUP_WORKFLOW_TYPE].map((name) => `"${name}"`).join(', ');
  // biome-ignore lint/plugin: it is compared with points in time that Temporal tells.
  const nowMs = Date.now();
  const before = new Date(nowMs - overMs).toISOString();
  const query = `TaskQueue = "${taskQueue}" AND WorkflowType IN (${types}) AND ExecutionStatus = "Running" AND StartTime < "${before}" AND (Outcome IS NULL OR Outcome != "${PENDING_APPROVAL}")`;
  const { namespace } = options;
  const withDeadline = <T>(call: () => Promise<T>) => callWithin(connection, REQUEST_TIMEOUT_MS, call);
  const { count } = await withDeadline(() => workflowService.countWorkflowExecutions({ namespace, query }));
  const overAMinute = Number(count);
  if (overAMinute === 0) return { overAMinute, oldestSeconds: 0 };
  const { executions } = await withDeadline(() =>
    workflowService.listWorkflowExecutions({ namespace, query, pageSize: LISTED }),
  );
  const startedAt = executions.map(({ startTime }) => Number(startTime?.seconds ?? 0)).filter((second) => second > 0);
  const oldestSeconds = startedAt.length === 0 ? 0 : nowMs / 1_000 - Math.min(...startedAt);
  return { overAMinute, oldestSeconds };
}
