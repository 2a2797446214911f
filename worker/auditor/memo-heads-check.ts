import type { Client } from '@temporalio/client';
import { type AuditCheck, CouldNotAsk } from '../../activities/auditor/check.ts';
import {
  compareOutsideHeads,
  type OutsideHead,
  type OutsideHeads,
  type OutsideOptions,
} from '../../activities/auditor/outside-heads.ts';
import { eventTaskQueue } from '../../workflows/event-messages.ts';
import { ANNOUNCE_HEADS_WORKFLOW_TYPE, type SignedHead } from '../../workflows/seal-messages.ts';
import { callWithin } from '../call-within.ts';
import { readPayloads } from '../payloads/read-payloads.ts';

/** A memo has up to 200 heads, of 1 kB each, and a message of Temporal's up to 4 MB. */
const RUNS_A_PAGE = 10;
const CALL_TIMEOUT_MS = 10_000;

export type MemoHeadsOptions = OutsideOptions & {
  readonly client: Client;
  /** Of the writes. */
  readonly taskQueue: string;
  readonly runsAPage?: number;
};

/**
 * Compares the heads in the memos of the runs that have announced them with the database, as far as Temporal retains runs, open or
 * closed: whoever restores or rebuilds the database cannot change them.
 */
export function memoHeadsCheck({
  client,
  taskQueue,
  runsAPage = RUNS_A_PAGE,
  ...options
}: MemoHeadsOptions): AuditCheck {
  const pages = () => headsInMemos(client, { taskQueue, pageSize: runsAPage });
  return {
    name: 'memo-heads',
    reads: "the heads of the seal in Temporal's runs",
    each: 'everything',
    run: (part, context) => compareOutsideHeads(pages(), part, context, options),
  };
}

async function* headsInMemos(
  client: Client,
  { taskQueue, pageSize }: { readonly taskQueue: string; readonly pageSize: number },
): AsyncGenerator<OutsideHeads> {
  const { workflowService, connection, options } = client;
  const request = {
    namespace: options.namespace,
    pageSize,
    query: `WorkflowType = '${ANNOUNCE_HEADS_WORKFLOW_TYPE}' AND TaskQueue = '${eventTaskQueue(taskQueue)}'`,
  };
  let nextPageToken: Uint8Array = new Uint8Array();
  do {
    const page = await callWithin(connection, CALL_TIMEOUT_MS, () =>
      workflowService.listWorkflowExecutions({ ...request, nextPageToken }),
    ).catch((error: Error) => {
      throw new CouldNotAsk(error.message);
    });
    for (const { execution, memo } of page.executions) {
      const workflowId = execution?.workflowId ?? '';
      const payload = memo?.fields?.['heads'];
      if (payload != null) yield await headsIn(client, workflowId, payload);
    }
    nextPageToken = page.nextPageToken;
  } while (nextPageToken.length > 0);
}

type Payload = NonNullable<Parameters<typeof readPayloads>[2]>[number];

async function headsIn(client: Client, workflowId: string, payload: Payload): Promise<OutsideHeads> {
  let value: unknown;
  try {
    [value] = await readPayloads(client, workflowId, [payload]);
  } catch {
    return { heads: [], notAsked: [UNREADABLE] };
  }
  if (!Array.isArray(value)) return { heads: [], notAsked: [UNREADABLE] };
  return { heads: value.filter(isPublished).map((head) => toOutsideHead(head, workflowId)) };
}

const UNREADABLE = { what: 'some heads of the seal in Temporal', why: 'Their memos cannot be read: set PAYLOAD_KEYS.' };

function isPublished(value: unknown): value is SignedHead {
  const { head, keyId, signature } = (value ?? {}) as Partial<Record<keyof SignedHead, unknown>>;
  return [head, keyId, signature].every((member) => typeof member === 'string');
}

function toOutsideHead({ head, keyId, signature }: SignedHead, workflowId: string): OutsideHead {
  return { head, keyId, signature, source: `the memo of ${workflowId}` };
}
