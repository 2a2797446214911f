import type { MetDemand } from '../../activities/approvals/approval.ts';
import { workflowIdOf } from '../../activities/identity.ts';
import type { OperationType } from '../../activities/operation.ts';
import type { ProblemPointer } from '../../activities/problem.ts';
import type { WriteRow } from '../../activities/write/write-row.ts';
import { isGroupWorkflowId } from '../../workflows/messages.ts';
import type { Run } from '../submit/write-runs.ts';

/** A write as `GET /api/writes/{key}` returns it. */
export type WriteResource = WriteSummary & {
  readonly response: unknown;
  /** What was asked for. Null for who may not see it, and where it is not known: of a cancelled key. */
  readonly request?: unknown;
  /** The decisions about a write that an approval policy has matched, the oldest first. */
  readonly approvals?: readonly WriteDecision[];
  /** How many people have to approve it at least: more where its demands ask for different people. */
  readonly approvalsNeeded?: number;
  /** What the policies ask for, and how much of it was given. Each has to be met. */
  readonly demands?: readonly MetDemand[];
  /** When it ends without enough approvals; null once it has its outcome. */
  readonly expiresAt?: string | null;
  /** Who has given the last approval that it needed. */
  readonly approvedBy?: string | null;
  readonly timeline: readonly TimelineItem[];
  readonly timelineTruncated?: boolean;
};

/** A write as an item of the list of writes: without the stored body and the timeline. */
export type WriteSummary = {
  readonly key: string;
  /** Null for a cancelled key, whose request is not known. The same holds for `operation` and `type`. */
  readonly writeId: string | null;
  readonly operation: string | null;
  readonly type: OperationType | null;
  readonly state:
    | 'running'
    | 'pending_approval'
    | 'succeeded'
    | 'rejected'
    | 'cancelled'
    | 'lost'
    | 'failed'
    | 'unknown';
  readonly status: number | null;
  readonly location: string | null;
  readonly resource: { readonly type: string; readonly id: string; readonly url: string } | null;
  /** Null for who may not see it, too, and wherever it may tell what somebody is paid. */
  readonly document?: WriteDocument | null;
  /** Null for a lost write whose user is lost, too. */
  readonly actor: { readonly userId: string | null };
  readonly requestId: string;
  readonly requestedAt: string;
  /** For a lost write, when it was found to be lost. */
  readonly completedAt: string | null;
  /** The number of attempts, including the last one. */
  readonly attempts: number;
  readonly workflow: { readonly id: string; readonly runId: string | null; readonly url: string | null } | null;
};

/** What people know a write by: the number of its document, and the amount in minor units. Without one of them, that is null. */
export type WriteDocument = {
  readonly number: string | null;
  /** Below zero only where a bank transaction is. */
  readonly amount: number | null;
  readonly currency: string | null;
};

type WriteDecision = {
  readonly userId: string;
  readonly decision: 'approved' | 'rejected';
  readonly comment: string | null;
  /** RFC 3339. */
  readonly at: string;
};

export type TimelineItem = {
  readonly at: string;
  readonly kind:
    | 'requested'
    | 'started'
    | 'approval_requested'
    | 'approved'
    | 'disapproved'
    | 'attempt_failed'
    | 'completed'
    | 'rejected'
    | 'cancelled'
    | 'lost'
    | 'replayed'
    | 'conflicted'
    | 'run_failed'
    | 'event_recorded'
    | 'event_delivered';
  readonly requestId?: string;
  readonly userId?: string;
  readonly detail?: string;
  /** Of another request with the key: where it differs. Names that clients choose are not told. */
  readonly differences?: readonly Pick<ProblemPointer, 'in' | 'pointer'>[];
  /** Of the event. */
  readonly eventId?: string;
};

/** Describes a write that has its outcome, from the columns of its row. */
export function finishedWrite(row: FinishedRow, ui: TemporalUi): WriteSummary {
  const { location, resource_type: type, resource_id: id } = row;
  return {
    key: row.idempotency_key,
    writeId: row.write_id,
    operation: row.operation,
    type: row.type as OperationType | null,
    state: row.outcome,
    status: row.status_code,
    location,
    resource: location === null || type === null || id === null ? null : { type, id, url: location },
    actor: { userId: row.user_id },
    requestId: row.request_id,
    requestedAt: row.requested_at,
    completedAt: row.completed_at,
    // A cancelled key's row records neither an attempt nor a run.
    attempts: row.outcome === 'cancelled' ? 0 : row.attempt,
    workflow: row.workflow_id === null ? null : workflowLink(row.workflow_id, null, ui),
  };
}

/** The columns of a row that its readers need, without the large ones. */
export type FinishedRow = Pick<WriteRow, (typeof FINISHED_COLUMNS)[number]>;

export const FINISHED_COLUMNS = [
  'company_id',
  'idempotency_key',
  'write_id',
  'operation',
  'type',
  'outcome',
  'status_code',
  'location',
  'resource_type',
  'resource_id',
  'user_id',
  'request_id',
  'workflow_id',
  'attempt',
  'requested_at',
  'completed_at',
] as const satisfies readonly (keyof WriteRow)[];

/** Describes a write that has a run and no outcome, from what the run was started with. */
export function writeOfRun(
  write: {
    readonly companyId: string;
    readonly idempotencyKey: string;
    readonly writeId: string;
    readonly operation: string;
    /** Null for an operation that this release does not know. */
    readonly type: OperationType | null;
  },
  run: Run,
  state: 'running' | 'failed' | 'unknown',
  ui: TemporalUi,
): WriteSummary {
  const { idempotencyKey, operation } = write;
  return {
    key: idempotencyKey,
    writeId: write.writeId,
    operation,
    type: write.type,
    state,
    status: null,
    location: null,
    resource: null,
    actor: { userId: run.userId },
    requestId: run.requestId,
    requestedAt: run.startedAt,
    completedAt: null,
    attempts: 1,
    workflow: workflowLink(workflowIdOf(write.companyId, idempotencyKey), run.runId, ui),
  };
}

/** The first items of every timeline that has a request: Temporal accepts the request by starting its run. */
export function beginningOf(write: WriteSummary): TimelineItem[] {
  const { requestedAt: at, requestId, actor, workflow } = write;
  const inGroup = workflow !== null && isGroupWorkflowId(workflow.id);
  return [
    { at, kind: 'requested', ...sentBy(requestId, actor.userId) },
    { at, kind: 'started', ...(inGroup ? { detail: `In a group of writes, ${workflow.id}` } : {}) },
  ];
}

/** The members of a timeline's item that tell whose request it was. */
export function sentBy(requestId: string, userId: string | null): Pick<TimelineItem, 'requestId' | 'userId'> {
  return userId === null ? { requestId } : { requestId, userId };
}

/** The body of a 202: the same as the status resource at this moment. */
export function runningWrite(write: Parameters<typeof writeOfRun>[0], run: Run, ui: TemporalUi): WriteResource {
  const running = writeOfRun(write, run, 'running', ui);
  return { ...running, response: null, timeline: beginningOf(running) };
}

/** The Temporal UI to link to, if one is configured. */
export type TemporalUi = { readonly url: string | undefined; readonly namespace: string };

export function workflowLink(id: string, runId: string | null, ui: TemporalUi) {
  const base = ui.url?.replace(/\/$/, '');
  const run = runId === null ? '' : `/${runId}/history`;
  const url =
    base === undefined ? null : `${base}/namespaces/${ui.namespace}/workflows/${encodeURIComponent(id)}${run}`;
  return { id, runId, url };
}
