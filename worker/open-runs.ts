import type { Client } from '@temporalio/client';
import { GROUP_WORKFLOW_TYPE, WRITE_WORKFLOW_TYPE } from '../workflows/messages.ts';

/** Runs of writes and of groups that are open now, whichever process started them. */
export type OpenRuns = {
  /** Open for longer than a minute: no transaction takes so long, so their attempts fail, or no one works at them. */
  readonly overAMinute: number;
  /** Of those the oldest; 0 where there are none. */
  readonly oldestSeconds: number;
};

const OVER_MS = 60_000;
/** Temporal lists the newest first, and sorts by nothing else: of more than these the oldest is not looked for. */
const LISTED = 1_000;
const REQUEST_TIMEOUT_MS = 5_000;

/** Asks Temporal's visibility, which is some moments behind: for an age of minutes that does not matter. */
export async function askForOpenRuns(
  { workflowService, connection, options }: Client,
  taskQueue: string,
  overMs = OVER_MS,
): Promise<OpenRuns> {
  const types = [WRITE_WORKFLOW_TYPE, GROUP_WORKFLOW_TYPE].map((name) => `"${name}"`).join(', ');
  const before = new Date(Date.now() - overMs).toISOString();
  const query = `TaskQueue = "${taskQueue}" AND WorkflowType IN (${types}) AND ExecutionStatus = "Running" AND StartTime < "${before}"`;
  const { namespace } = options;
  const inTime = <T>(ask: () => Promise<T>) => connection.withDeadline(Date.now() + REQUEST_TIMEOUT_MS, ask);
  const { count } = await inTime(() => workflowService.countWorkflowExecutions({ namespace, query }));
  const overAMinute = Number(count);
  if (overAMinute === 0) return { overAMinute, oldestSeconds: 0 };
  const { executions } = await inTime(() =>
    workflowService.listWorkflowExecutions({ namespace, query, pageSize: LISTED }),
  );
  const startedAt = executions.map(({ startTime }) => Number(startTime?.seconds ?? 0)).filter((second) => second > 0);
  const oldestSeconds = startedAt.length === 0 ? 0 : Date.now() / 1_000 - Math.min(...startedAt);
  return { overAMinute, oldestSeconds };
}
