import type { Client, WorkflowStartOptions } from '@temporalio/client';
import { batchIdOf, batchWorkflowId } from '../../activities/batches/identity.ts';
import {
  BATCH_CHANGED,
  BATCH_WORKFLOW_TYPE,
  type BatchArguments,
  batchTaskQueue,
} from '../../workflows/batch-messages.ts';
import { keyword } from '../../workflows/search-attributes.ts';
import { callWithin } from '../call-within.ts';
import { asUnavailable } from '../temporal-unavailable.ts';

type BatchStart = {
  readonly companyId: string;
  readonly batchKey: string;
  /** Null where each row names its own. */
  readonly operation: string | null;
};

export type BatchStarts = {
  /** Starts the workflow of a batch, or tells the open one that something has changed. Throws TemporalUnavailable. */
  wake(batch: BatchStart): Promise<void>;
};

const REQUEST_TIMEOUT_MS = 10_000;
const CHUNKS_AT_ONCE = 2;

export function createBatchStarts({ workflow, connection }: Client, writeTaskQueue: string): BatchStarts {
  return {
    async wake({ companyId, batchKey, operation }) {
      const args: BatchArguments = {
        companyId,
        batchId: batchIdOf(companyId, batchKey),
        chunksAtOnce: CHUNKS_AT_ONCE,
      };
      const options: WorkflowStartOptions = {
        workflowId: batchWorkflowId(companyId, batchKey),
        taskQueue: batchTaskQueue(writeTaskQueue),
        args: [args],
        typedSearchAttributes: [
          keyword('CompanyId', companyId),
          ...(operation === null ? [] : [keyword('Operation', operation)]),
        ],
        staticSummary: `Batch of ${operation ?? 'writes'}`,
        // A batch may be retried after its end; a run of it that is open goes on.
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      };
      try {
        await callWithin(connection, REQUEST_TIMEOUT_MS, () =>
          workflow.signalWithStart(BATCH_WORKFLOW_TYPE, { ...options, signal: BATCH_CHANGED, signalArgs: [] }),
        );
      } catch (error) {
        throw asUnavailable(error);
      }
    },
  };
}
