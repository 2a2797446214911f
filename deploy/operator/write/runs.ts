import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type { Payload } from '@temporalio/common';
import { readPayloads } from '../../../worker/payloads/read-payloads.ts';
import { GROUP_WORKFLOW_TYPE, type GroupItem } from '../../../workflows/messages.ts';
import { isRefused } from '../../../workflows/refused.ts';

/** What operators see of Temporal beyond what the API reads. */

/** More than can be open at once, since each process has one open group. */
const MAX_OPEN_GROUPS = 100;

/** How a run ended, in words: its failure's message, or who terminated it and why. Undefined while it is open. */
export async function endOfRun(client: Client, workflowId: string, runId: string): Promise<string | undefined> {
  const { history } = await client.workflowService.getWorkflowExecutionHistoryReverse({
    namespace: client.options.namespace,
    execution: { workflowId, runId },
    maximumPageSize: 1,
  });
  const last = history?.events?.[0];
  if (last == null) return undefined;
  const failed = last.workflowExecutionFailedEventAttributes?.failure;
  if (failed) {
    const message = await messageOf(client, workflowId, failed);
    return `failed (${failed.applicationFailureInfo?.type ?? 'failure'}): ${message ?? 'no message'}`;
  }
  const terminated = last.workflowExecutionTerminatedEventAttributes;
  if (terminated) return `terminated by ${terminated.identity || 'someone'}: ${terminated.reason || 'no reason given'}`;
  if (last.workflowExecutionTimedOutEventAttributes) return 'timed out';
  if (last.workflowExecutionCanceledEventAttributes) return 'cancelled in Temporal';
  if (last.workflowExecutionCompletedEventAttributes) return 'completed';
  return undefined;
}

type Failure = { readonly message?: string | null; readonly encodedAttributes?: Payload | null };

/** A failure's message is in a payload; in the runs of earlier releases it is plain. */
async function messageOf(client: Client, workflowId: string, { message, encodedAttributes }: Failure) {
  if (encodedAttributes == null) return message;
  const [attributes] = await readPayloads(client, workflowId, [encodedAttributes]);
  if (isRefused(attributes)) return 'its message is not ours';
  return (attributes as { readonly message?: string } | undefined)?.message;
}

export type GroupFacts = { readonly workflowId: string; readonly status: string; readonly summary: string | null };

/** The group that made a write; `forgotten` after its retention period. */
export async function describeGroup(client: Client, workflowId: string): Promise<GroupFacts> {
  try {
    const described = await client.workflow.getHandle(workflowId).describe();
    const summary = await described.staticSummary();
    return { workflowId, status: described.status.name, summary: summary ?? null };
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    return { workflowId, status: 'forgotten', summary: null };
  }
}

/** Searches the inputs of all open groups, because a key in a group has no workflow of its own. */
export async function findOpenGroup(client: Client, companyId: string, key: string): Promise<string | undefined> {
  const query = `WorkflowType = '${GROUP_WORKFLOW_TYPE}' AND ExecutionStatus = 'Running'`;
  let searched = 0;
  for await (const { workflowId, runId } of client.workflow.list({ query })) {
    searched += 1;
    if (searched > MAX_OPEN_GROUPS) return undefined;
    const items = await readItems(client, workflowId, runId).catch(() => []);
    if (items.some(({ args }) => args.companyId === companyId && args.key === key)) return workflowId;
  }
  return undefined;
}

async function readItems(client: Client, workflowId: string, runId: string): Promise<readonly GroupItem[]> {
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId, runId },
    maximumPageSize: 1,
  });
  const input = history?.events?.[0]?.workflowExecutionStartedEventAttributes?.input;
  const [items] = await readPayloads(client, workflowId, input?.payloads);
  return Array.isArray(items) ? items : [];
}
