import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { DAY_MS } from '../activities/durations.ts';
import {
  eventTaskQueue,
  type Trigger,
  WEBHOOKS_WORKFLOW_TYPE,
  type WebhookBatch,
  type WebhookRetry,
  webhooksWorkflowId,
} from '../workflows/event-messages.ts';
import { keyword } from '../workflows/search-attributes.ts';
import { callWithin } from './call-within.ts';

/** The starts that the relay makes. `exists` is as good as `started`: the same workflow ID is the same work. */
export type EventStarts = {
  /** Starts the triggered workflow, once per event for as long as Temporal retains the run. */
  registered(event: { readonly id: string; readonly workflowName: string; readonly trigger: TriggerId }): Promise<void>;
  /** Starts the delivery of a batch. `exists`: a run is delivering it and marks its events itself. */
  webhooks(batch: Omit<WebhookBatch, 'retry'>): Promise<'started' | 'exists'>;
};

type TriggerId = Omit<Trigger, 'writeTaskQueue'>;

const START_TIMEOUT_MS = 10_000;

/** Ten attempts within a day: after 5 s, 30 s, 2 min, 10 min, 30 min, then hours. */
export const WEBHOOK_RETRY: WebhookRetry = {
  delaysMs: [5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000],
  giveUpAfterMs: DAY_MS,
};

export function createEventStarts(
  { workflow, connection }: Client,
  writeTaskQueue: string,
  retry: WebhookRetry = WEBHOOK_RETRY,
): EventStarts {
  const taskQueue = eventTaskQueue(writeTaskQueue);
  const withDeadline = <T>(start: () => Promise<T>) => callWithin(connection, START_TIMEOUT_MS, start);
  return {
    async registered({ id, workflowName, trigger }) {
      try {
        await withDeadline(() =>
          workflow.start(workflowName, {
            workflowId: id,
            taskQueue,
            args: [{ ...trigger, writeTaskQueue } satisfies Trigger],
            // Whatever the first run's outcome: to run the workflow again, a member triggers it again.
            workflowIdReusePolicy: 'REJECT_DUPLICATE',
            typedSearchAttributes: [keyword('CompanyId', trigger.companyId)],
            staticSummary: `${workflowName}, trigger ${trigger.triggerId}`,
          }),
        );
      } catch (error) {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      }
    },
    async webhooks({ companyId, batchId }) {
      try {
        await withDeadline(() =>
          workflow.start(WEBHOOKS_WORKFLOW_TYPE, {
            workflowId: webhooksWorkflowId(companyId, batchId),
            taskQueue,
            args: [{ companyId, batchId, retry } satisfies WebhookBatch],
            // A run delivers only what is still undelivered, so another run of a finished batch does nothing.
            workflowIdReusePolicy: 'ALLOW_DUPLICATE',
            workflowIdConflictPolicy: 'FAIL',
            typedSearchAttributes: [keyword('CompanyId', companyId)],
            staticSummary: 'Webhook calls',
          }),
        );
        return 'started';
      } catch (error) {
        if (error instanceof WorkflowExecutionAlreadyStartedError) return 'exists';
        throw error;
      }
    },
  };
}
